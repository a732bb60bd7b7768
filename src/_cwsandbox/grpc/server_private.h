/* What server.c, server_connection.c and server_call.c share. Loop thread. */
#pragma once

#include "grpc/server.h"
#include "h2/conn.h"
#include "io/timer.h"

/* What a client may send ahead of a method that reads slowly. */
#define CWS_SERVER_REQUEST_WINDOW (256u * 1024)

struct cws_server {
    struct cws_loop *loop;
    const struct cws_server_method *methods;
    size_t method_count;
    bool (*admit)(struct cws_server_call *call, void *ctx);
    void *ctx;
    size_t max_message;
    uint32_t max_streams;
    struct cws_list connections;
    struct cws_list strangers; /* those of them that have had no call admitted, oldest first */
    size_t connection_count;
    size_t stranger_count;
    size_t call_count;
};

struct cws_server_connection {
    struct cws_list node;
    struct cws_list stranger_node;
    struct cws_server *server;
    struct cws_h2_conn *conn;
    struct cws_timer patience; /* set while something is expected of the client */
    uint64_t accepted_ns;
    bool is_stranger;
    unsigned tries; /* calls of a stranger */
};

/* Not from inside an event of the connection. */
void cws_server_connection_free(struct cws_server_connection *connection);
/* A call of it was admitted. */
void cws_server_connection_trust(struct cws_server_connection *connection);

/* A request begins on this stream: makes the call that hears of it. */
void cws_server_call_begin(struct cws_server_connection *connection, struct cws_h2_stream *stream);
