#include "base/alloc.h"
#include "grpc/server_private.h"

/* ---- strangers ------------------------------------------------------------------------------ */

static void join_strangers(struct cws_server_connection *c)
{
    struct cws_server *server = c->server;
    if (server->stranger_count == CWS_SERVER_MAX_STRANGERS)
        cws_server_connection_free(
            cws_list_entry(server->strangers.next, struct cws_server_connection, stranger_node));
    c->is_stranger = true;
    server->stranger_count++;
    cws_list_push_back(&server->strangers, &c->stranger_node);
}

static void leave_strangers(struct cws_server_connection *c)
{
    if (!c->is_stranger)
        return;
    c->is_stranger = false;
    c->server->stranger_count--;
    cws_list_remove(&c->stranger_node);
}

void cws_server_connection_trust(struct cws_server_connection *c)
{
    if (!c->is_stranger)
        return;
    leave_strangers(c);
    cws_timer_cancel(c->server->loop, &c->patience);
    cws_h2_conn_set_max_header_list(c->conn, CWS_SERVER_HEADER_LIST);
}

static void on_patience_over(struct cws_timer *timer)
{
    cws_server_connection_free(cws_container_of(timer, struct cws_server_connection, patience));
}

/* ---- the connection's events ---------------------------------------------------------------- */

/* The preface is in. */
static void on_ready(void *ctx)
{
    struct cws_server_connection *c = ctx;
    struct cws_loop *loop = c->server->loop;
    if (!c->is_stranger)
        cws_timer_cancel(loop, &c->patience);
    else if (cws_timer_set(loop, &c->patience, c->accepted_ns + CWS_SERVER_STRANGER_NS) != CWS_OK)
        cws_h2_conn_expel(c->conn, "no memory to wait for a stranger");
}

static void on_stream(void *ctx, struct cws_h2_stream *stream)
{
    struct cws_server_connection *c = ctx;
    if (c->is_stranger && ++c->tries > CWS_SERVER_STRANGER_CALLS) {
        cws_h2_conn_expel(c->conn, "a stranger has had all its tries");
        return;
    }
    cws_server_call_begin(c, stream);
}

static void on_closed(void *ctx, const struct cws_error *err)
{
    (void)err; /* its calls have heard of it */
    cws_server_connection_free(ctx);
}

static const struct cws_h2_conn_events conn_events = {
    .on_ready = on_ready,
    .on_stream = on_stream,
    .on_closed = on_closed,
};

/* ---- life ----------------------------------------------------------------------------------- */

void cws_server_connection_free(struct cws_server_connection *c)
{
    cws_timer_cancel(c->server->loop, &c->patience);
    leave_strangers(c);
    cws_list_remove(&c->node);
    c->server->connection_count--;
    cws_h2_conn_free(c->conn);
    cws_free(c);
}

void cws_server_accept(void *ctx, struct cws_transport *transport)
{
    struct cws_server *server = ctx;
    struct cws_server_connection *c = cws_calloc(1, sizeof(*c));
    if (!c) {
        cws_transport_close(transport);
        return;
    }
    c->server = server;
    c->accepted_ns = cws_clock_now_ns();
    cws_allowance_init(&c->requests, server->loop, CWS_SERVER_LARGE_REQUESTS,
                       CWS_SERVER_REQUEST_WINDOW, CWS_NO_DEADLINE);
    cws_timer_init(&c->patience, on_patience_over);
    cws_list_init(&c->stranger_node);
    cws_list_push_back(&server->connections, &c->node);
    server->connection_count++;
    const struct cws_identity *identity = cws_transport_identity(transport);
    if (identity) {
        c->identity = *identity;
        c->is_identified = true;
    }
    if (server->admit && !identity)
        join_strangers(c);
    const struct cws_h2_conn_options options = {
        .max_streams = server->max_streams,
        .max_header_list =
            c->is_stranger ? CWS_SERVER_STRANGER_HEADER_LIST : CWS_SERVER_HEADER_LIST,
        .stream_window = CWS_SERVER_REQUEST_WINDOW,
    };
    c->conn = cws_h2_conn_new(server->loop, transport, CWS_H2_SERVER, &options, &conn_events, c);
    if (!c->conn ||
        cws_timer_set(server->loop, &c->patience, c->accepted_ns + CWS_SERVER_PREFACE_NS) != CWS_OK)
        cws_server_connection_free(c);
}
