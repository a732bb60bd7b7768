#include "h2/conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "h2/conn_private.h"
#include "io/scratch.h"

enum {
    DEFAULT_STREAM_WINDOW = 1024 * 1024,
    /* The connection's window is credited as soon as bytes are in: it only has to cover a round
       trip. */
    CONNECTION_WINDOW = 32 * 1024 * 1024,
    DEFAULT_HEADER_LIST = 64 * 1024,
    MAX_REQUEST_FIELDS = 128,
    /* How many frames may wait for the peer to read them: this many, plus each stream's headers,
       trailers, a reset and a window update. */
    MAX_QUEUED = 4096,
    MAX_QUEUED_PER_STREAM = 4,
};

void cws_h2_conn_want_flush(struct cws_h2_conn *conn)
{
    if (conn->flush_wanted)
        return;
    conn->flush_wanted = true;
    cws_loop_defer_flush(conn->loop, &conn->flush);
}

void cws_h2_conn_fail(struct cws_h2_conn *conn, enum cws_status status, const char *fmt, ...)
{
    if (conn->failed)
        return;
    va_list args;
    va_start(args, fmt);
    conn->why.status = status;
    vsnprintf(conn->why.text, sizeof(conn->why.text), fmt, args);
    va_end(args);
    conn->failed = true;
    conn->draining = true;
    cws_h2_conn_want_flush(conn);
}

/* ---- output --------------------------------------------------------------------------------- */

static void write_out(struct cws_h2_conn *conn, const uint8_t *data, size_t len)
{
    if (len == 0 || conn->failed || conn->output_broken)
        return;
    enum cws_status status = cws_transport_write(conn->transport, data, len);
    /* A broken transport says why by on_closed, after what the peer has still sent; only a lack of
     * memory shows here. */
    if (status == CWS_CLOSED)
        conn->output_broken = true;
    else if (status != CWS_OK)
        cws_h2_conn_fail(conn, status, "could not send: %s", cws_status_text(status));
}

static bool may_write(const struct cws_h2_conn *conn)
{
    return !conn->failed && !conn->output_broken && cws_transport_pending(conn->transport) == 0;
}

/* Several frames leave in one write: peers take DATA of 16 KiB each, and a write costs more than
 * copying them. */
static void pump_output(struct cws_h2_conn *conn)
{
    uint8_t *batch = cws_loop_scratch(conn->loop, CWS_SCRATCH_FRAMES);
    const size_t room = batch ? CWS_SCRATCH_SIZE : 0;
    size_t held = 0;
    conn->in_session = true;
    while (may_write(conn)) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(conn->session, &data);
        if (n < 0)
            cws_h2_conn_fail(conn, CWS_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)n));
        if (n <= 0)
            break;
        bool is_large = (size_t)n >= room / 2;
        if (is_large || held + (size_t)n > room) {
            write_out(conn, batch, held);
            held = 0;
        }
        if (is_large) {
            write_out(conn, data, (size_t)n);
        } else {
            memcpy(batch + held, data, (size_t)n);
            held += (size_t)n;
        }
    }
    write_out(conn, batch, held);
    conn->in_session = false;
}

/* The last words: what can be said without waiting for the peer. */
static void say_goaway(struct cws_h2_conn *conn, uint32_t code)
{
    bool failed = conn->failed;
    conn->failed = false;
    nghttp2_session_terminate_session2(conn->session, conn->last_taken, code);
    pump_output(conn);
    conn->failed |= failed;
}

static void close_all_streams(struct cws_h2_conn *conn, const struct cws_error *why)
{
    while (!cws_list_is_empty(&conn->streams)) {
        struct cws_h2_stream *stream =
            cws_list_entry(conn->streams.next, struct cws_h2_stream, node);
        struct cws_h2_end end = {
            .code = CWS_H2_INTERNAL_ERROR,
            .unprocessed = conn->role == CWS_H2_CLIENT && !stream->headers_sent,
            .lost = why,
        };
        cws_h2_stream_close(stream, &end);
    }
}

static void drop_transport(struct cws_h2_conn *conn)
{
    if (conn->transport)
        cws_transport_close(conn->transport);
    conn->transport = NULL;
}

/* Once per loop iteration in which anything happened: sends what is queued and, outside of nghttp2,
 * tells the owner what changed. The owner may free the connection in on_closed, the last thing done
 * here. */
static void on_flush(struct cws_deferred *deferred)
{
    struct cws_h2_conn *conn = cws_container_of(deferred, struct cws_h2_conn, flush);
    conn->flush_wanted = false;
    if (!conn->failed)
        pump_output(conn);
    if (!conn->failed && !nghttp2_session_want_read(conn->session) &&
        !nghttp2_session_want_write(conn->session) && cws_transport_pending(conn->transport) == 0) {
        if (conn->draining)
            cws_h2_conn_fail(conn, CWS_OK, "closed after GOAWAY");
        else /* nghttp2 has ended the session by itself */
            cws_h2_conn_fail(conn, CWS_PROTOCOL, "the peer does not keep to HTTP/2");
    }
    if (!conn->failed && conn->draining && conn->role == CWS_H2_CLIENT && conn->stream_count == 0)
        cws_h2_conn_fail(conn, CWS_OK, "closed after GOAWAY");
    if (conn->failed) {
        if (conn->expelled)
            say_goaway(conn, NGHTTP2_ENHANCE_YOUR_CALM);
        drop_transport(conn);
        close_all_streams(conn, &conn->why);
        cws_list_remove(&conn->flush.node);
        conn->flush_wanted = true; /* nothing is to be flushed any more */
        struct cws_error why = conn->why;
        conn->events->on_closed(conn->ctx, &why);
        return;
    }
    if (conn->room_changed) {
        conn->room_changed = false;
        if (conn->events->on_room)
            conn->events->on_room(conn->ctx);
    }
}

/* ---- input ---------------------------------------------------------------------------------- */

/* One read may bring thousands of small frames that each need an answer. If the peer does read, it
 * gets the chance to take the answers. */
static void check_queued(struct cws_h2_conn *conn)
{
    size_t most = MAX_QUEUED + MAX_QUEUED_PER_STREAM * conn->stream_count;
    if (conn->failed || nghttp2_session_get_outbound_queue_size(conn->session) <= most)
        return;
    pump_output(conn);
    if (!conn->failed && nghttp2_session_get_outbound_queue_size(conn->session) > most)
        cws_h2_conn_expel(conn, "the peer does not read the answers to what it sends");
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_h2_conn *conn = ctx;
    if (conn->failed)
        return;
    conn->arrivals++;
    if (conn->doubted) {
        conn->doubted = false;
        conn->room_changed = true;
    }
    conn->in_session = true;
    ssize_t n = nghttp2_session_mem_recv(conn->session, data, len);
    conn->in_session = false;
    if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        cws_h2_conn_fail(conn, CWS_PROTOCOL, "the peer does not speak HTTP/2");
    else if (n == NGHTTP2_ERR_FLOODED)
        cws_h2_conn_expel(conn, "the peer does not read the acknowledgements it asks for");
    else if (n < 0)
        cws_h2_conn_fail(conn, CWS_PROTOCOL, "HTTP/2: %s", nghttp2_strerror((int)n));
    check_queued(conn);
    cws_h2_conn_want_flush(conn);
}

static void on_drained(void *ctx)
{
    cws_h2_conn_want_flush(ctx);
}

static void on_transport_closed(void *ctx, const struct cws_error *err)
{
    struct cws_h2_conn *conn = ctx;
    if (err->status == CWS_OK && conn->draining && conn->stream_count == 0)
        cws_h2_conn_fail(conn, CWS_OK, "closed after GOAWAY");
    else if (err->status == CWS_OK)
        cws_h2_conn_fail(conn, CWS_CLOSED, "the peer closed the connection");
    else
        cws_h2_conn_fail(conn, err->status, "%s", err->text);
}

static const struct cws_transport_events transport_events = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_transport_closed,
};

/* ---- life ----------------------------------------------------------------------------------- */

static nghttp2_session *new_session(struct cws_h2_conn *conn)
{
    nghttp2_session *session = NULL;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        goto done;
    cws_h2_input_set_callbacks(callbacks);
    nghttp2_option_set_no_auto_window_update(option, 1);
    /* Until its SETTINGS come the peer's limit is not known; streams wait for them anyway. */
    nghttp2_option_set_peer_max_concurrent_streams(option, UINT32_MAX);
    /* Closed streams are not needed for priorities, and thousands would be kept. */
    nghttp2_option_set_no_closed_streams(option, 1);
    /* RFC 9113 forbids space at the ends of a value, gRPC does not: the text of a status, and what
     * users put into metadata, may have some, and grpc-core sends it. */
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
    int rc = conn->role == CWS_H2_CLIENT
                 ? nghttp2_session_client_new2(&session, callbacks, conn, option)
                 : nghttp2_session_server_new2(&session, callbacks, conn, option);
    if (rc != 0)
        session = NULL;
done:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

static bool submit_settings(struct cws_h2_conn *conn, uint32_t max_streams)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conn->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)conn->max_header_list},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams}, /* a client's: of pushed streams */
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t count = conn->role == CWS_H2_CLIENT ? 4 : 3;
    return nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, entries, count) == 0 &&
           nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW) == 0;
}

struct cws_h2_conn *cws_h2_conn_new(struct cws_loop *loop, struct cws_transport *transport,
                                    enum cws_h2_role role,
                                    const struct cws_h2_conn_options *options,
                                    const struct cws_h2_conn_events *events, void *ctx)
{
    struct cws_h2_conn *conn = cws_calloc(1, sizeof(*conn));
    if (!conn) {
        cws_transport_close(transport);
        return NULL;
    }
    conn->loop = loop;
    conn->transport = transport;
    conn->role = role;
    conn->events = events;
    conn->ctx = ctx;
    conn->stream_window = options->stream_window ? options->stream_window : DEFAULT_STREAM_WINDOW;
    conn->max_header_list =
        options->max_header_list ? options->max_header_list : DEFAULT_HEADER_LIST;
    conn->flush.run = on_flush;
    cws_list_init(&conn->flush.node);
    cws_list_init(&conn->streams);
    conn->session = new_session(conn);
    if (!conn->session ||
        !submit_settings(conn, role == CWS_H2_SERVER ? options->max_streams : 0)) {
        cws_h2_conn_free(conn);
        return NULL;
    }
    cws_h2_conn_want_flush(conn);
    cws_transport_start(transport, &transport_events, conn);
    return conn;
}

void cws_h2_conn_free(struct cws_h2_conn *conn)
{
    if (!conn)
        return;
    assert(!conn->in_session);
    if (!conn->failed && conn->session && conn->transport)
        say_goaway(conn, NGHTTP2_NO_ERROR);
    conn->failed = true;
    conn->draining = true;
    conn->flush_wanted = true;
    cws_list_remove(&conn->flush.node);
    drop_transport(conn);
    struct cws_error why = {.status = CWS_CLOSED, .text = "the connection was closed by this side"};
    close_all_streams(conn, &why);
    nghttp2_session_del(conn->session);
    cws_free(conn);
}

/* ---- streams -------------------------------------------------------------------------------- */

size_t cws_h2_conn_free_slots(const struct cws_h2_conn *conn)
{
    if (!conn->ready || conn->draining || conn->failed || conn->doubted ||
        conn->stream_count >= conn->peer_max_streams)
        return 0;
    return conn->peer_max_streams - conn->stream_count;
}

bool cws_h2_conn_is_shut(const struct cws_h2_conn *conn)
{
    return conn->ready && !conn->draining && !conn->failed && conn->peer_max_streams == 0;
}

size_t cws_h2_conn_stream_count(const struct cws_h2_conn *conn)
{
    return conn->stream_count;
}

bool cws_h2_conn_is_draining(const struct cws_h2_conn *conn)
{
    return conn->draining;
}

struct cws_h2_stream *cws_h2_conn_open(struct cws_h2_conn *conn, const struct cws_h2_field *fields,
                                       size_t count, const struct cws_h2_stream_events *events,
                                       void *ctx)
{
    assert(conn->role == CWS_H2_CLIENT);
    if (conn->draining || count > MAX_REQUEST_FIELDS)
        return NULL;
    struct cws_h2_stream *stream = cws_h2_stream_new(conn, 0);
    if (!stream)
        return NULL;
    nghttp2_nv nv[MAX_REQUEST_FIELDS];
    cws_h2_fields_to_nv(fields, count, nv);
    nghttp2_data_provider provider = cws_h2_stream_provider(stream);
    int32_t id = nghttp2_submit_request(conn->session, NULL, nv, count, &provider, stream);
    if (id < 0) {
        /* Out of stream ids: this connection only finishes what it has. */
        conn->draining = id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
        struct cws_h2_end end = {.unprocessed = true};
        cws_h2_stream_close(stream, &end); /* nobody listens yet */
        return NULL;
    }
    stream->id = id;
    cws_h2_stream_set_events(stream, events, ctx);
    cws_h2_conn_want_flush(conn);
    return stream;
}

uint64_t cws_h2_conn_arrivals(const struct cws_h2_conn *conn)
{
    return conn->arrivals;
}

void cws_h2_conn_doubt(struct cws_h2_conn *conn)
{
    conn->doubted = true;
}

bool cws_h2_conn_is_doubted(const struct cws_h2_conn *conn)
{
    return conn->doubted;
}

void cws_h2_conn_ping(struct cws_h2_conn *conn)
{
    if (conn->failed)
        return;
    /* Without memory for it there is no answer either, and the owner gives the connection up. */
    nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL);
    cws_h2_conn_want_flush(conn);
}

void cws_h2_conn_abandon(struct cws_h2_conn *conn, const struct cws_error *why)
{
    cws_h2_conn_fail(conn, why->status, "%s", why->text);
}

void cws_h2_conn_drain(struct cws_h2_conn *conn)
{
    if (conn->draining)
        return;
    conn->draining = true;
    if (conn->role == CWS_H2_SERVER)
        nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(conn->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
    else
        nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    cws_h2_conn_want_flush(conn);
}

void cws_h2_conn_expel(struct cws_h2_conn *conn, const char *why)
{
    conn->expelled |= !conn->failed;
    cws_h2_conn_fail(conn, CWS_PROTOCOL, "%s", why);
}

void cws_h2_conn_set_max_header_list(struct cws_h2_conn *conn, size_t max_header_list)
{
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                    (uint32_t)max_header_list};
    conn->max_header_list = max_header_list;
    /* Without memory to say so the peer keeps to the old value. */
    (void)nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, &entry, 1);
    cws_h2_conn_want_flush(conn);
}
