#include <string.h>

#include "base/alloc.h"
#include "h2/conn_private.h"

struct cws_h2_stream *cws_h2_stream_new(struct cws_h2_conn *conn, int32_t id)
{
    struct cws_h2_stream *stream = cws_calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->conn = conn;
    stream->id = id;
    stream->window = conn->stream_window;
    stream->sending = conn->role == CWS_H2_CLIENT ? CWS_H2_SENDING_OPEN : CWS_H2_SENDING_AWAITED;
    stream->receiving = CWS_H2_RECEIVING_OPEN;
    cws_list_init(&stream->queue);
    cws_list_push_back(&conn->streams, &stream->node);
    conn->stream_count++;
    return stream;
}

static void drop_queue(struct cws_h2_stream *stream)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&stream->queue)) != NULL)
        cws_block_settle(cws_list_entry(node, struct cws_block, node), CWS_CLOSED);
    stream->pending = 0;
}

void cws_h2_stream_close(struct cws_h2_stream *stream, const struct cws_h2_end *end)
{
    struct cws_h2_conn *conn = stream->conn;
    if (stream->id > 0)
        nghttp2_session_set_stream_user_data(conn->session, stream->id, NULL);
    cws_list_remove(&stream->node);
    conn->stream_count--;
    conn->room_changed = true;
    cws_h2_conn_want_flush(conn);
    drop_queue(stream);
    if (stream->events)
        stream->events->on_closed(stream->ctx, end);
    cws_free(stream->trailers);
    cws_free(stream);
}

void cws_h2_stream_set_events(struct cws_h2_stream *stream,
                              const struct cws_h2_stream_events *events, void *ctx)
{
    stream->events = events;
    stream->ctx = ctx;
}

void cws_h2_stream_set_manual_credit(struct cws_h2_stream *stream, bool manual)
{
    stream->manual_credit = manual;
}

void cws_h2_stream_consume(struct cws_h2_stream *stream, size_t n)
{
    nghttp2_session_consume_stream(stream->conn->session, stream->id, n);
    cws_h2_conn_want_flush(stream->conn);
}

void cws_h2_fields_to_nv(const struct cws_h2_field *fields, size_t count, nghttp2_nv *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i].name = (uint8_t *)(uintptr_t)fields[i].name;
        out[i].value = (uint8_t *)(uintptr_t)fields[i].value;
        out[i].namelen = fields[i].name_len;
        out[i].valuelen = fields[i].value_len;
        out[i].flags = fields[i].no_index ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Copies as much of the queue as fits; settles the blocks that are through. */
static size_t fill_from_queue(struct cws_h2_stream *stream, uint8_t *to, size_t room)
{
    size_t filled = 0;
    while (filled < room && !cws_list_is_empty(&stream->queue)) {
        struct cws_block *block = cws_list_entry(stream->queue.next, struct cws_block, node);
        size_t n = cws_block_take(block, to + filled, room - filled);
        filled += n;
        stream->pending -= n;
        if (block->off == cws_block_size(block)) {
            cws_list_remove(&block->node);
            cws_block_settle(block, CWS_OK);
        }
    }
    return filled;
}

static void send_event(struct cws_h2_stream *stream, enum cws_h2_send_event event)
{
    stream->sending = cws_h2_sending_after(stream->sending, event);
    assert(stream->sending != CWS_H2_SENDING_NONE);
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                         uint32_t *data_flags, nghttp2_data_source *source, void *conn)
{
    (void)stream_id;
    (void)conn;
    struct cws_h2_stream *stream = source->ptr;
    size_t filled = fill_from_queue(stream, to, room);
    bool empty = cws_list_is_empty(&stream->queue);
    if (empty && filled && stream->events && stream->events->on_drained) {
        stream->events->on_drained(stream->ctx); /* may queue more */
        empty = cws_list_is_empty(&stream->queue);
    }
    if (empty && stream->sending == CWS_H2_SENDING_FINISHED) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailers) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, stream->id, stream->trailers,
                                       stream->trailer_count) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        return (ssize_t)filled;
    }
    if (filled == 0) {
        send_event(stream, CWS_H2_SEND_RAN_DRY);
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)filled;
}

nghttp2_data_provider cws_h2_stream_provider(struct cws_h2_stream *stream)
{
    return (nghttp2_data_provider){.source.ptr = stream, .read_callback = read_body};
}

/* There is something to send: lets nghttp2 ask for it. */
static void resume_with(struct cws_h2_stream *stream, enum cws_h2_send_event event)
{
    bool was_parked = stream->sending == CWS_H2_SENDING_PARKED;
    send_event(stream, event);
    if (was_parked)
        nghttp2_session_resume_data(stream->conn->session, stream->id);
    cws_h2_conn_want_flush(stream->conn);
}

void cws_h2_stream_send(struct cws_h2_stream *stream, struct cws_block *block)
{
    cws_list_push_back(&stream->queue, &block->node);
    stream->pending += cws_block_size(block) - block->off;
    resume_with(stream, CWS_H2_SEND_BYTES);
}

size_t cws_h2_stream_pending(const struct cws_h2_stream *stream)
{
    return stream->pending;
}

void cws_h2_stream_finish(struct cws_h2_stream *stream)
{
    resume_with(stream, CWS_H2_SEND_END);
}

/* A copy of the fields with their texts in one allocation; NULL when out of memory. */
static nghttp2_nv *copy_fields(const struct cws_h2_field *fields, size_t count)
{
    size_t size = count * sizeof(nghttp2_nv);
    for (size_t i = 0; i < count; i++)
        size += fields[i].name_len + fields[i].value_len;
    nghttp2_nv *nv = cws_malloc(size);
    if (!nv)
        return NULL;
    cws_h2_fields_to_nv(fields, count, nv);
    uint8_t *text = (uint8_t *)(nv + count);
    for (size_t i = 0; i < count; i++) {
        memcpy(text, nv[i].name, nv[i].namelen);
        nv[i].name = text;
        text += nv[i].namelen;
        if (nv[i].valuelen)
            memcpy(text, nv[i].value, nv[i].valuelen);
        nv[i].value = text;
        text += nv[i].valuelen;
    }
    return nv;
}

enum cws_status cws_h2_stream_finish_with(struct cws_h2_stream *stream,
                                          const struct cws_h2_field *trailers, size_t count)
{
    stream->trailers = copy_fields(trailers, count);
    if (!stream->trailers)
        return CWS_NO_MEMORY;
    stream->trailer_count = count;
    cws_h2_stream_finish(stream);
    return CWS_OK;
}

/* ---- the server's header blocks ------------------------------------------------------------- */

enum { MAX_RESPONSE_FIELDS = 16 };

static enum cws_status submit_response(struct cws_h2_stream *stream,
                                       const struct cws_h2_field *fields, size_t count,
                                       const nghttp2_data_provider *provider)
{
    nghttp2_nv nv[MAX_RESPONSE_FIELDS];
    assert(count <= MAX_RESPONSE_FIELDS);
    cws_h2_fields_to_nv(fields, count, nv);
    if (nghttp2_submit_response(stream->conn->session, stream->id, nv, count, provider) != 0)
        return CWS_NO_MEMORY;
    send_event(stream, provider ? CWS_H2_SEND_RESPONSE : CWS_H2_SEND_BARE);
    cws_h2_conn_want_flush(stream->conn);
    return CWS_OK;
}

enum cws_status cws_h2_stream_respond(struct cws_h2_stream *stream,
                                      const struct cws_h2_field *fields, size_t count)
{
    nghttp2_data_provider provider = cws_h2_stream_provider(stream);
    return submit_response(stream, fields, count, &provider);
}

enum cws_status cws_h2_stream_respond_only(struct cws_h2_stream *stream,
                                           const struct cws_h2_field *fields, size_t count)
{
    return submit_response(stream, fields, count, NULL);
}

void cws_h2_stream_reset(struct cws_h2_stream *stream, uint32_t code)
{
    struct cws_h2_conn *conn = stream->conn;
    stream->events = NULL;
    drop_queue(stream);
    if (conn->failed)
        return; /* the connection's end will free it */
    if (stream->receiving == CWS_H2_RECEIVING_ENDED &&
        nghttp2_session_get_stream_local_close(conn->session, stream->id) == 1)
        return; /* both sides have ended: nghttp2 is about to close it by itself */
    nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, stream->id, code);
    cws_h2_conn_want_flush(conn);
}
