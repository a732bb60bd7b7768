#include "grpc/server.h"

#include "base/alloc.h"
#include "grpc/server_private.h"

enum {
    DEFAULT_MAX_MESSAGE = 100 * 1024 * 1024,
    DEFAULT_MAX_STREAMS = 1000,
};

struct cws_server *cws_server_new(struct cws_loop *loop, const struct cws_server_options *options)
{
    struct cws_server *server = cws_calloc(1, sizeof(*server));
    if (!server)
        return NULL;
    server->loop = loop;
    server->methods = options->methods;
    server->method_count = options->method_count;
    server->admit = options->admit;
    server->ctx = options->ctx;
    server->max_message = options->max_message ? options->max_message : DEFAULT_MAX_MESSAGE;
    server->max_streams = options->max_streams ? options->max_streams : DEFAULT_MAX_STREAMS;
    cws_list_init(&server->connections);
    cws_list_init(&server->strangers);
    return server;
}

void cws_server_free(struct cws_server *server)
{
    if (!server)
        return;
    while (!cws_list_is_empty(&server->connections))
        cws_server_connection_free(
            cws_list_entry(server->connections.next, struct cws_server_connection, node));
    cws_free(server);
}

void cws_server_drain(struct cws_server *server,
                      bool (*is_over)(const struct cws_identity *identity, void *ctx), void *ctx)
{
    const struct cws_list *node = server->connections.next;
    while (node != &server->connections) {
        struct cws_server_connection *c = cws_list_entry(node, struct cws_server_connection, node);
        node = node->next;
        if (c->is_identified && !cws_h2_conn_is_draining(c->conn) && is_over(&c->identity, ctx))
            cws_h2_conn_drain(c->conn);
    }
}

size_t cws_server_call_count(const struct cws_server *server)
{
    return server->call_count;
}

size_t cws_server_connection_count(const struct cws_server *server)
{
    return server->connection_count;
}
