/* A server's bytes at our client: HTTP/2 and the messages in it. Every stream ends exactly once. */
#include "base/alloc.h"
#include "grpc/frame.h"
#include "h2/conn.h"
#include "memory_transport.h"

enum { STREAMS = 4 };

struct request {
    struct cws_h2_stream *stream;
    struct cws_frame_reader reader;
    bool broken;
    int ended;
};

struct client {
    struct cws_h2_conn *conn;
    struct request requests[STREAMS];
    size_t opened;
    int closed;
};

static void on_field(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    (void)ctx;
    REQUIRE(strnlen(name, name_len) <= name_len && strnlen(value, value_len) <= value_len);
}

static void on_block(void *ctx, bool is_last)
{
    (void)is_last;
    REQUIRE(((struct request *)ctx)->ended == 0);
}

static void on_oversized(void *ctx, size_t max_header_list)
{
    REQUIRE(((struct request *)ctx)->ended == 0);
    REQUIRE(max_header_list > 0);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct request *request = ctx;
    REQUIRE(request->ended == 0);
    const uint8_t *message;
    size_t message_len;
    while (!request->broken) {
        if (cws_frame_next(&request->reader, &data, &len, &message, &message_len) != CWS_OK)
            request->broken = true;
        else if (!message)
            break;
    }
}

static void on_end(void *ctx)
{
    REQUIRE(((struct request *)ctx)->ended == 0);
}

static void on_drained(void *ctx)
{
    (void)ctx;
}

static void on_stream_closed(void *ctx, const struct cws_h2_end *end)
{
    struct request *request = ctx;
    (void)end;
    request->ended++;
    request->stream = NULL;
}

static const struct cws_h2_stream_events stream_events = {
    .on_field = on_field,
    .on_block = on_block,
    .on_oversized = on_oversized,
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_stream_closed,
};

static void open_streams(struct client *client)
{
    static const struct cws_h2_field fields[] = {
        {.name = ":method", .value = "POST", .name_len = 7, .value_len = 4},
        {.name = ":scheme", .value = "http", .name_len = 7, .value_len = 4},
        {.name = ":path", .value = "/s/m", .name_len = 5, .value_len = 4},
        {.name = ":authority", .value = "a:1", .name_len = 10, .value_len = 3},
    };
    while (client->opened < STREAMS && cws_h2_conn_free_slots(client->conn)) {
        struct request *request = &client->requests[client->opened];
        request->stream = cws_h2_conn_open(client->conn, fields, 4, &stream_events, request);
        if (!request->stream)
            break;
        client->opened++;
        struct cws_block *block = cws_block_new(100);
        REQUIRE(block);
        memset(block->data, 0, block->len);
        cws_h2_stream_send(request->stream, block);
        if (client->opened % 2)
            cws_h2_stream_finish(request->stream);
    }
}

static void on_room(void *ctx)
{
    open_streams(ctx);
}

static void on_conn_closed(void *ctx, const struct cws_error *err)
{
    (void)err;
    ((struct client *)ctx)->closed++;
}

static const struct cws_h2_conn_events conn_events = {
    .on_ready = on_room,
    .on_room = on_room,
    .on_closed = on_conn_closed,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = cws_alloc_live();
    struct cws_loop *loop;
    struct cws_error err;
    REQUIRE(cws_loop_new(&loop, &err) == CWS_OK);
    struct memory_transport transport = {.base.ops = &memory_ops};
    struct client client = {0};
    for (size_t i = 0; i < STREAMS; i++)
        cws_frame_reader_init(&client.requests[i].reader, 1 << 16);
    struct cws_h2_conn_options options = {0};
    client.conn =
        cws_h2_conn_new(loop, &transport.base, CWS_H2_CLIENT, &options, &conn_events, &client);
    REQUIRE(client.conn);
    settle(loop);
    memory_feed(&transport, loop, data, size);
    REQUIRE(client.closed == 1);
    cws_h2_conn_free(client.conn);
    for (size_t i = 0; i < STREAMS; i++) {
        REQUIRE(client.requests[i].ended == (i < client.opened ? 1 : 0));
        cws_frame_reader_done(&client.requests[i].reader);
    }
    settle(loop);
    cws_loop_free(loop);
    REQUIRE(transport.closed);
    REQUIRE(cws_alloc_live() == before);
    return 0;
}
