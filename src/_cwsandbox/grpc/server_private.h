/* Shared by server.c, server_connection.c and server_call.c. Loop thread. */
#pragma once

#include "grpc/server.h"
#include "h2/conn.h"
#include "io/allowance.h"
#include "io/timer.h"

/* How many bytes a client may send ahead of a method that reads slowly. */
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
    struct cws_list strangers; /* those connections that have had no call admitted, oldest first */
    size_t connection_count;
    size_t stranger_count;
    size_t call_count;
};

struct cws_server_connection {
    struct cws_list node;
    struct cws_list stranger_node;
    struct cws_server *server;
    struct cws_h2_conn *conn;
    struct cws_timer patience; /* set while the client still has to send something */
    uint64_t accepted_ns;
    bool is_stranger;
    bool is_identified; /* the client has shown a certificate: */
    struct cws_identity identity;
    unsigned tries;                /* calls begun while a stranger */
    struct cws_allowance requests; /* for large request messages */
};

/* Closes and frees it. Not from inside an event of the connection except on_closed. */
void cws_server_connection_free(struct cws_server_connection *connection);
/* One of its calls has been admitted: it is no longer a stranger's. */
void cws_server_connection_trust(struct cws_server_connection *connection);

/* A request begins on this stream: makes the call that gets its events. */
void cws_server_call_begin(struct cws_server_connection *connection, struct cws_h2_stream *stream);
