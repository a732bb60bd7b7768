/* A client's bytes at our gRPC server: every call that starts is closed exactly once, and nothing
 * is left. */
#include "base/alloc.h"
#include "grpc/server.h"
#include "memory_transport.h"

enum { MAX_MESSAGE = 4096 };

static size_t started, closed;

static void on_start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    started++;
    cws_server_call_set_user(call, &started);
}

static void on_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    REQUIRE(cws_server_call_user(call) == &started);
    REQUIRE(len <= MAX_MESSAGE);
    struct cws_block *reply = cws_server_message_new(len);
    REQUIRE(reply);
    if (len)
        memcpy(reply->data + CWS_FRAME_PREFIX, data, len);
    cws_server_call_send(call, reply);
}

static void on_half_closed(struct cws_server_call *call)
{
    cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
}

static void on_drained(struct cws_server_call *call)
{
    REQUIRE(cws_server_call_pending(call) == 0);
}

static void on_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)call;
    (void)why;
    closed++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cws_server_method methods[] = {{
        .path = "/s/m",
        .start = on_start,
        .message = on_message,
        .half_closed = on_half_closed,
        .drained = on_drained,
        .closed = on_closed,
    }};
    size_t before = cws_alloc_live();
    struct cws_loop *loop;
    struct cws_error err;
    REQUIRE(cws_loop_new(&loop, &err) == CWS_OK);
    started = closed = 0;
    struct cws_server_options options = {
        .methods = methods, .method_count = 1, .max_message = MAX_MESSAGE};
    struct cws_server *server = cws_server_new(loop, &options);
    REQUIRE(server);
    struct memory_transport transport = {.base.ops = &memory_ops};
    cws_server_accept(server, &transport.base);
    settle(loop);
    memory_feed(&transport, loop, data, size);
    cws_server_free(server);
    settle(loop);
    REQUIRE(started == closed);
    cws_loop_free(loop);
    REQUIRE(transport.closed);
    REQUIRE(cws_alloc_live() == before);
    return 0;
}
