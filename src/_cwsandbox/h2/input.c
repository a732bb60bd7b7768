/* nghttp2's callbacks: what comes from the peer, turned into events. */
#include <string.h>

#include "h2/conn_private.h"

/* The largest receive window a stream grows to: about what 10 Gbit/s delivers within a 10 ms round
 * trip. */
enum { MAX_STREAM_WINDOW = 16 * 1024 * 1024 };

/* What HTTP/2 adds to the bytes of each field when it counts the size of a list. */
enum { FIELD_OVERHEAD = 32 };

/* A list so many times larger than allowed ends the connection. Its fields may be references of one
 * byte to some KiB that were sent once, and to check and drop them takes as long as if they had
 * been sent. */
enum { HOPELESS = 32 };

static struct cws_h2_stream *find_stream(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* nghttp2 ignores HEADERS on a closed stream, since they may be trailers that have crossed a reset.
 * The id may also be one that was skipped, and a stream may not begin with that. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct cws_h2_conn *conn = user;
    if (conn->role == CWS_H2_SERVER && hd->type == NGHTTP2_HEADERS && hd->stream_id % 2 == 1 &&
        hd->stream_id < conn->last_begun && conn->begun <= conn->last_begun / 2 &&
        !nghttp2_session_find_stream(session, hd->stream_id))
        nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    return 0;
}

/* If nghttp2 lets an event through that the table does not, one of the two is wrong. */
static void receive_event(struct cws_h2_stream *stream, enum cws_h2_receive_event event)
{
    enum cws_h2_receiving next = cws_h2_receiving_after(stream->receiving, event);
    if (next == CWS_H2_RECEIVING_NONE)
        cws_h2_conn_fail(stream->conn, CWS_PROTOCOL, "a frame out of place on stream %d",
                         (int)stream->id);
    else
        stream->receiving = next;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct cws_h2_conn *conn = user;
    struct cws_h2_stream *stream = find_stream(session, frame->hd.stream_id);
    if (conn->failed)
        return NGHTTP2_ERR_CALLBACK_FAILURE; /* no more of this peer's streams begin */
    if (stream) {
        stream->block_size = 0;
        receive_event(stream, CWS_H2_RECEIVE_BLOCK);
    }
    if (conn->role != CWS_H2_SERVER || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    conn->last_begun = frame->hd.stream_id;
    conn->begun++;
    stream = cws_h2_stream_new(conn, frame->hd.stream_id);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    conn->events->on_stream(conn->ctx, stream);
    if (!conn->failed)
        conn->last_taken = frame->hd.stream_id;
    return 0;
}

/* A response's status comes before all else of its block. */
static bool is_interim_status(const uint8_t *name, size_t name_len, const uint8_t *value,
                              size_t value_len)
{
    static const char status[] = ":status";
    return name_len == sizeof(status) - 1 && memcmp(name, status, name_len) == 0 && value_len > 0 &&
           value[0] == '1';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags;
    struct cws_h2_conn *conn = user;
    struct cws_h2_stream *stream = find_stream(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    stream->block_size += name_len + value_len + FIELD_OVERHEAD;
    if (stream->block_size / HOPELESS > conn->max_header_list) {
        cws_h2_conn_fail(conn, CWS_PROTOCOL,
                         "the peer sent a list of headers that is %d times larger than allowed",
                         HOPELESS);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!stream->events || stream->receiving == CWS_H2_RECEIVING_INTERIM)
        return 0;
    if (is_interim_status(name, name_len, value, value_len)) {
        receive_event(stream, CWS_H2_RECEIVE_INTERIM);
        return 0;
    }
    if (stream->block_size <= conn->max_header_list)
        stream->events->on_field(stream->ctx, (const char *)name, name_len, (const char *)value,
                                 value_len);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *user)
{
    (void)flags;
    struct cws_h2_conn *conn = user;
    struct cws_h2_stream *stream = find_stream(session, stream_id);
    /* The connection's window is always opened: a stream nobody reads must not hold up the
     * others. */
    nghttp2_session_consume_connection(session, len);
    cws_h2_conn_want_flush(conn);
    if (!stream || !stream->events) {
        nghttp2_session_consume_stream(session, stream_id, len);
        return 0;
    }
    if (!stream->manual_credit) {
        stream->delivered += len;
        if (stream->delivered >= stream->window && stream->window < MAX_STREAM_WINDOW) {
            stream->window *= 2;
            stream->delivered = 0;
            nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, stream_id,
                                                  (int32_t)stream->window);
        }
        nghttp2_session_consume_stream(session, stream_id, len);
    }
    stream->events->on_data(stream->ctx, data, len);
    return 0;
}

static void settings_received(struct cws_h2_conn *conn)
{
    conn->peer_max_streams =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    conn->room_changed = true;
    cws_h2_conn_want_flush(conn);
    if (!conn->ready) {
        conn->ready = true;
        if (conn->events->on_ready)
            conn->events->on_ready(conn->ctx);
    }
}

/* What gRPC servers say to a client that pings more often than they allow. */
static bool is_too_many_pings(const nghttp2_goaway *goaway)
{
    static const char text[] = "too_many_pings";
    return goaway->error_code == NGHTTP2_ENHANCE_YOUR_CALM &&
           goaway->opaque_data_len == sizeof(text) - 1 &&
           memcmp(goaway->opaque_data, text, sizeof(text) - 1) == 0;
}

static void block_received(struct cws_h2_conn *conn, struct cws_h2_stream *stream, bool is_last)
{
    if (stream->receiving == CWS_H2_RECEIVING_INTERIM)
        return;
    if (stream->block_size > conn->max_header_list)
        stream->events->on_oversized(stream->ctx, conn->max_header_list);
    else
        stream->events->on_block(stream->ctx, is_last);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct cws_h2_conn *conn = user;
    struct cws_h2_stream *stream = NULL;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            settings_received(conn);
        return 0;
    case NGHTTP2_GOAWAY:
        conn->draining = true;
        conn->room_changed = true;
        if (is_too_many_pings(&frame->goaway) && conn->events->on_too_many_pings)
            conn->events->on_too_many_pings(conn->ctx);
        cws_h2_conn_want_flush(conn);
        return 0;
    case NGHTTP2_RST_STREAM:
        stream = find_stream(session, frame->hd.stream_id);
        if (stream)
            receive_event(stream, CWS_H2_RECEIVE_RESET);
        return 0;
    case NGHTTP2_HEADERS:
        stream = find_stream(session, frame->hd.stream_id);
        if (stream && stream->events)
            block_received(conn, stream, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
        break;
    case NGHTTP2_DATA:
        stream = find_stream(session, frame->hd.stream_id);
        break;
    default:
        return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && stream) {
        receive_event(stream, CWS_H2_RECEIVE_END);
        if (stream->events)
            stream->events->on_end(stream->ctx);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *user)
{
    (void)user;
    struct cws_h2_stream *stream = find_stream(session, stream_id);
    if (!stream)
        return 0;
    struct cws_h2_end end = {
        .code = code,
        .unprocessed = code == NGHTTP2_REFUSED_STREAM,
        .reset = stream->receiving == CWS_H2_RECEIVING_RESET,
    };
    cws_h2_stream_close(stream, &end);
    return 0;
}

/* A server that has ended its side wants no more of the request either: "trailers, then
 * RST_STREAM(NO_ERROR)". */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct cws_h2_conn *conn = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    if (conn->role == CWS_H2_CLIENT) {
        struct cws_h2_stream *stream = find_stream(session, frame->hd.stream_id);
        if (stream)
            stream->headers_sent = true;
    } else if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
               nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* DATA frames as large as the peer takes them, instead of nghttp2's 16 KiB. */
static ssize_t read_length(nghttp2_session *session, uint8_t frame_type, int32_t stream_id,
                           int32_t session_window, int32_t stream_window, uint32_t max_frame_size,
                           void *user)
{
    (void)session;
    (void)frame_type;
    (void)stream_id;
    (void)user;
    enum { LARGEST = 64 * 1024 };
    int64_t length = max_frame_size < LARGEST ? max_frame_size : LARGEST;
    if (session_window < length)
        length = session_window;
    if (stream_window < length)
        length = stream_window;
    return (ssize_t)length;
}

void cws_h2_input_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, read_length);
}
