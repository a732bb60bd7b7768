#include "grpc/server.h"

#include "base/alloc.h"
#include "grpc/server_private.h"

enum {
    DEFAULT_MAX_MESSAGE = 100 * 1024 * 1024,
    DEFAULT_MAX_STREAMS = 1000,
};

struct connection {
    struct cws_list node;
    struct cws_server *server;
    struct cws_h2_conn *conn;
};

/* ---- connections ---------------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
    cws_list_remove(&c->node);
    cws_h2_conn_free(c->conn);
    cws_free(c);
}

static void on_stream(void *ctx, struct cws_h2_stream *stream)
{
    struct connection *c = ctx;
    cws_server_call_begin(c->server, stream);
}

static void on_closed(void *ctx, const struct cws_error *err)
{
    (void)err; /* its calls have heard of it */
    connection_free(ctx);
}

static const struct cws_h2_conn_events conn_events = {
    .on_stream = on_stream,
    .on_closed = on_closed,
};

void cws_server_accept(void *ctx, struct cws_transport *transport)
{
    struct cws_server *server = ctx;
    struct connection *c = cws_calloc(1, sizeof(*c));
    if (!c) {
        cws_transport_close(transport);
        return;
    }
    c->server = server;
    cws_list_push_back(&server->connections, &c->node);
    struct cws_h2_conn_options options = {.max_streams = server->max_streams,
                                          .stream_window = CWS_SERVER_REQUEST_WINDOW};
    c->conn = cws_h2_conn_new(server->loop, transport, CWS_H2_SERVER, &options, &conn_events, c);
    if (!c->conn)
        connection_free(c);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct cws_server *cws_server_new(struct cws_loop *loop, const struct cws_server_options *options)
{
    struct cws_server *server = cws_calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    server->loop = loop;
    server->methods = options->methods;
    server->method_count = options->method_count;
    server->ctx = options->ctx;
    server->max_message = options->max_message ? options->max_message : DEFAULT_MAX_MESSAGE;
    server->max_streams = options->max_streams ? options->max_streams : DEFAULT_MAX_STREAMS;
    cws_list_init(&server->connections);
    return server;
}

void cws_server_free(struct cws_server *server)
{
    if (!server)
        return;
    while (!cws_list_is_empty(&server->connections))
        connection_free(cws_list_entry(server->connections.next, struct connection, node));
    cws_free(server);
}

size_t cws_server_call_count(const struct cws_server *server)
{
    return server->call_count;
}
