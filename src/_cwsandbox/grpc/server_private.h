/* What server.c (connections) and server_call.c (calls) share. Loop thread. */
#pragma once

#include "grpc/server.h"
#include "h2/conn.h"

/* What a client may send ahead of a method that reads slowly. */
#define CWS_SERVER_REQUEST_WINDOW (256u * 1024)

struct cws_server {
    struct cws_loop *loop;
    const struct cws_server_method *methods;
    size_t method_count;
    void *ctx;
    size_t max_message;
    uint32_t max_streams;
    struct cws_list connections;
    size_t call_count;
};

/* A request begins on this stream: makes the call that hears of it. */
void cws_server_call_begin(struct cws_server *server, struct cws_h2_stream *stream);
