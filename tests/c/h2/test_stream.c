/* h2/stream: headers, bodies and trailers both ways, flow control, and resets inside each event. */
#include "support/h2_peer.h"

#define MANY_BYTES ((size_t)5 << 20) /* several windows */

/* A connection whose bytes travel in this way, and a request that the server has seen. */
static void open_shaped(struct h2_pair *pair, const struct memory_shape *shape, uint32_t window,
                        struct h2_record **out_client, struct h2_record **out_server)
{
    h2_pair_open(pair, 100, window);
    memory_set_shape(pair->client.transport, shape);
    memory_set_shape(pair->server.transport, shape);
    settle(pair->loop);
    *out_client = h2_request(&pair->client, "/path");
    settle(pair->loop);
    *out_server = h2_nth(&pair->server, 0);
}

static void open_request(struct h2_pair *pair, struct h2_record **out_client,
                         struct h2_record **out_server)
{
    open_shaped(pair, &MEMORY_SHAPES[0], 0, out_client, out_server);
}

/* --- in good order --- */

static void test_headers_body_and_trailers(void **state)
{
    struct h2_pair *pair = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        struct h2_record *client, *server;
        struct h2_settled sent = {0}, answered = {0};
        open_shaped(pair, &MEMORY_SHAPES[i], 0, &client, &server);
        assert_string_equal(server->fields,
                            ":method=POST;:scheme=http;:path=/path;:authority=test;|");
        h2_send_all(client, 1000, 300, &sent);
        assert_int_equal(cws_h2_stream_pending(client->stream), 1000);
        cws_h2_stream_finish(client->stream);
        settle(pair->loop);
        h2_respond(server);
        h2_send_all(server, 2000, 700, &answered);
        h2_finish_with(server, "grpc-status", "0");
        settle(pair->loop);
        assert_string_equal(client->events, "rfhdfhec");
        assert_string_equal(server->events, "fhderc");
        assert_string_equal(client->fields, ":status=200;|grpc-status=0;|");
        assert_int_equal(client->data_len, 2000);
        assert_int_equal(server->data_len, 1000);
        assert_false(client->data_differs || server->data_differs);
        assert_int_equal(sent.ok, 4);
        assert_int_equal(answered.ok, 3);
        assert_int_equal(client->end.code, CWS_H2_NO_ERROR);
        assert_false(client->end.reset || client->end.unprocessed || client->end.lost);
        assert_false(server->end.reset || server->end.unprocessed || server->end.lost);
        h2_pair_close(pair);
    }
}

static void test_a_large_frame_does_not_overtake_the_headers(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_respond(server);
    h2_send(server, 0, 16384,
            NULL); /* a DATA frame of the largest size, in one flush with the HEADERS */
    h2_finish_with(server, "a", "b");
    settle(pair->loop);
    assert_string_equal(client->events, "fhdfhec");
    assert_int_equal(client->data_len, 16384);
    h2_pair_close(pair);
}

/* They come raw: this side's server sends none. */
static void test_interim_responses_are_not_told(void **state)
{
    struct h2_pair *pair = *state;
    static const char interim[] = "\0\0\x14\1\4\0\0\0\1"
                                  "\x08\x03"
                                  "103"
                                  "\x00\x0bgrpc-status\x01"
                                  "0";
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        struct h2_record *client, *server;
        open_shaped(pair, &MEMORY_SHAPES[i], 0, &client, &server);
        for (int n = 0; n < 3; n++)
            feed_raw(pair->client.transport, interim, sizeof(interim) - 1);
        settle(pair->loop);
        assert_string_equal(client->events, "");
        h2_respond(server);
        settle(pair->loop);
        assert_string_equal(client->fields, ":status=200;|");
        assert_int_equal(client->last_blocks, 0);
        h2_finish_with(server, "grpc-status", "0");
        cws_h2_stream_finish(client->stream);
        settle(pair->loop);
        assert_string_equal(client->fields, ":status=200;|grpc-status=0;|");
        assert_int_equal(client->last_blocks, 1);
        h2_pair_close(pair);
    }
}

static void test_an_interim_response_cannot_end_a_stream(void **state)
{
    struct h2_pair *pair = *state;
    static const char interim[] = "\0\0\5\1\5\0\0\0\1"
                                  "\x08\x03"
                                  "103";
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    feed_raw(pair->client.transport, interim, sizeof(interim) - 1);
    settle(pair->loop);
    assert_string_equal(client->events, "c");
    assert_int_equal(client->end.code, 1); /* PROTOCOL_ERROR */
    assert_false(client->end.reset);       /* not by the peer */
    h2_pair_close(pair);
}

static void test_an_answer_of_headers_alone(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200"),
                                    cws_h2_field_of("grpc-status", "12")};
    cws_h2_stream_finish(client->stream);
    assert_int_equal(cws_h2_stream_respond_only(server->stream, fields, 2), CWS_OK);
    settle(pair->loop);
    assert_string_equal(client->events, "fhec");
    assert_string_equal(client->fields, ":status=200;grpc-status=12;|");
    h2_pair_close(pair);
}

static void test_no_body_but_trailers(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_respond(server);
    h2_finish_with(server, "x", "");
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    assert_string_equal(client->fields, ":status=200;|x=;|");
    assert_int_equal(client->data_len, 0);
    assert_int_equal(client->closes, 1);
    h2_pair_close(pair);
}

static void test_a_body_that_ends_without_trailers(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_respond(server);
    h2_send(server, 0, 10, NULL);
    cws_h2_stream_finish(server->stream);
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    assert_string_equal(client->events, "fhdec");
    h2_pair_close(pair);
}

static void test_the_end_may_come_long_after_the_body(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_respond(server);
    for (size_t at = 0; at < 500; at += 100) {
        h2_send(server, at, 100, NULL);
        settle(pair->loop);
        assert_int_equal(client->data_len, at + 100); /* each leaves at once */
    }
    h2_finish_with(server, "a", "b");
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    assert_int_equal(client->closes, 1);
    h2_pair_close(pair);
}

static void test_empty_blocks_are_settled_too(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    struct h2_settled settled = {0};
    open_request(pair, &client, &server);
    h2_send(client, 0, 0, &settled);
    settle(pair->loop);
    assert_int_equal(settled.ok, 1);
    h2_send(client, 0, 5, &settled);
    h2_send(client, 5, 0, &settled);
    settle(pair->loop);
    assert_int_equal(settled.ok, 3);
    assert_int_equal(server->data_len, 5);
    h2_pair_close(pair);
}

/* A server that has said all it has to say wants no more of the request: the client's side ends
 * with it. */
static void test_an_early_answer_ends_the_request(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    struct h2_settled settled = {0};
    open_request(pair, &client, &server);
    cws_h2_stream_set_manual_credit(server->stream, true);
    h2_send_all(client, 4 << 20, 64 << 10, &settled);
    settle(pair->loop);
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200"),
                                    cws_h2_field_of("grpc-status", "8")};
    assert_int_equal(cws_h2_stream_respond_only(server->stream, fields, 2), CWS_OK);
    settle(pair->loop);
    assert_string_equal(client->events, "fhec");
    assert_int_equal(client->end.code, CWS_H2_NO_ERROR);
    assert_int_equal(server->closes, 1);
    assert_int_equal(settled.ok + settled.closed, 64); /* those that had no room are given back */
    assert_true(settled.closed > 0);
    h2_pair_close(pair);
}

/* --- flow control --- */

static void test_large_bodies_both_ways(void **state)
{
    struct h2_pair *pair = *state;
    static const size_t shapes[] = {0, 2, 3};
    for (size_t i = 0; i < CWS_ARRAY_LEN(shapes); i++) {
        struct h2_record *client, *server;
        struct h2_settled up = {0}, down = {0};
        size_t len = i == 0 ? MANY_BYTES : MANY_BYTES / 16;
        open_shaped(pair, &MEMORY_SHAPES[shapes[i]], 64 << 10, &client, &server);
        h2_respond(server);
        h2_send_all(client, len, 100000, &up);
        h2_send_all(server, len, 70001, &down);
        cws_h2_stream_finish(client->stream);
        RUN_UNTIL(pair->loop,
                  server->ends); /* an earlier end of the answer would cut the request short */
        h2_finish_with(server, "a", "b");
        RUN_UNTIL(pair->loop, client->closes && server->closes);
        assert_int_equal(client->data_len, len);
        assert_int_equal(server->data_len, len);
        assert_false(client->data_differs || server->data_differs);
        assert_int_equal(up.ok, (len + 99999) / 100000);
        assert_int_equal(down.ok, (len + 70000) / 70001);
        h2_pair_close(pair);
    }
}

static void test_many_large_bodies_at_once(void **state)
{
    struct h2_pair *pair = *state;
    enum { STREAMS = 40 };
    size_t len = 300000;
    h2_pair_open(pair, 100, 64 << 10);
    settle(pair->loop);
    for (int i = 0; i < STREAMS; i++) {
        struct h2_record *client = h2_request(&pair->client, "/");
        h2_send_all(client, len, 50000, NULL);
        cws_h2_stream_finish(client->stream);
    }
    settle(pair->loop);
    for (int i = 0; i < STREAMS; i++) {
        struct h2_record *server = h2_nth(&pair->server, i);
        h2_respond(server);
        h2_send_all(server, len, 50000, NULL);
        h2_finish_with(server, "a", "b");
    }
    RUN_UNTIL(pair->loop, cws_h2_conn_stream_count(pair->client.conn) == 0);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(h2_nth(&pair->client, i)->data_len, len);
        assert_int_equal(h2_nth(&pair->server, i)->data_len, len);
        assert_false(h2_nth(&pair->client, i)->data_differs ||
                     h2_nth(&pair->server, i)->data_differs);
    }
    h2_pair_close(pair);
}

/* The receiver with manual credit gets a window full and no more until it gives some back. */
static void check_manual_credit(struct h2_pair *pair, struct h2_record *sender,
                                struct h2_record *receiver, size_t window)
{
    size_t len = 10 * window;
    cws_h2_stream_set_manual_credit(receiver->stream, true);
    h2_send_all(sender, len, 10000, NULL);
    settle(pair->loop);
    assert_int_equal(receiver->data_len, window);
    assert_int_equal(cws_h2_stream_pending(sender->stream), len - window);
    settle(pair->loop);
    assert_int_equal(receiver->data_len, window);
    /* Others on the connection are not held up. */
    struct h2_record *other = h2_request(&pair->client, "/other");
    h2_send(other, 0, window / 2, NULL);
    settle(pair->loop);
    assert_int_equal(h2_nth(&pair->server, 1)->data_len, window / 2);
    while (receiver->data_len < len) {
        size_t before = receiver->data_len;
        cws_h2_stream_consume(receiver->stream,
                              window); /* what has been received and not given back is a window */
        settle(pair->loop);
        assert_true(receiver->data_len > before);
        assert_true(receiver->data_len <= before + window);
    }
    assert_int_equal(receiver->data_len, len);
    assert_false(receiver->data_differs);
    assert_int_equal(cws_h2_stream_pending(sender->stream), 0);
}

static void test_manual_credit_stops_the_sender(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    size_t window = 64 << 10;
    open_shaped(pair, &MEMORY_SHAPES[0], (uint32_t)window, &client, &server);
    check_manual_credit(pair, client, server, window);
    h2_pair_close(pair);
    open_shaped(pair, &MEMORY_SHAPES[0], (uint32_t)window, &client, &server);
    h2_respond(server);
    settle(pair->loop);
    check_manual_credit(pair, server, client, window);
    h2_pair_close(pair);
}

/* A stream that delivers gets a larger window: one round trip then carries more. */
static void test_the_window_grows_with_what_is_delivered(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    size_t window = 64 << 10;
    open_shaped(pair, &MEMORY_SHAPES[0], (uint32_t)window, &client, &server);
    h2_respond(server);
    h2_send_all(server, MANY_BYTES, 100000, NULL);
    RUN_UNTIL(pair->loop, client->data_len == MANY_BYTES);
    cws_h2_stream_set_manual_credit(client->stream, true);
    h2_send_all(server, MANY_BYTES, 100000, NULL);
    settle(pair->loop);
    assert_true(client->data_len - MANY_BYTES > 8 * window);
    h2_pair_close(pair);
}

static void send_more(struct h2_record *record, char event)
{
    size_t *left = record->side->hook_ctx;
    if (event == 'r' && *left) {
        --*left;
        h2_send(record, record->data_len, 1000, NULL);
        if (*left == 0)
            h2_finish_with(record, "a", "b");
    }
}

/* Queue more whenever all is gone: the way to send a lot with little memory. */
static void test_on_drained_may_queue_more(void **state)
{
    struct h2_pair *pair = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        struct h2_record *client, *server;
        size_t left = 300;
        open_shaped(pair, &MEMORY_SHAPES[i], 0, &client, &server);
        pair->server.hook = send_more;
        pair->server.hook_ctx = &left;
        cws_h2_stream_finish(client->stream);
        h2_respond(server);
        h2_send(server, 0, 1000, NULL);
        RUN_UNTIL(pair->loop, client->closes);
        assert_int_equal(client->data_len, 301 * 1000);
        assert_string_equal(client->events, "fhdfhec");
        h2_pair_close(pair);
    }
}

/* --- resets --- */

static void test_the_client_resets(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    struct h2_settled up = {0}, down = {0};
    open_request(pair, &client, &server);
    cws_h2_stream_set_manual_credit(server->stream, true);
    cws_h2_stream_set_manual_credit(client->stream, true);
    h2_respond(server);
    h2_send_all(client, 4 << 20, 1 << 20, &up);
    h2_send_all(server, 4 << 20, 1 << 20, &down);
    settle(pair->loop);
    h2_reset(client, CWS_H2_CANCEL);
    assert_int_equal(up.ok + up.closed, 4); /* given back inside the call */
    assert_true(up.closed > 0);
    settle(pair->loop);
    assert_int_equal(server->closes, 1);
    assert_true(server->end.reset);
    assert_int_equal(server->end.code, CWS_H2_CANCEL);
    assert_int_equal(down.ok + down.closed, 4);
    assert_int_equal(cws_h2_conn_stream_count(pair->client.conn), 0);
    assert_int_equal(cws_h2_conn_stream_count(pair->server.conn), 0);
    h2_pair_close(pair);
}

static void test_the_server_resets(void **state)
{
    struct h2_pair *pair = *state;
    static const uint32_t codes[] = {CWS_H2_INTERNAL_ERROR, CWS_H2_REFUSED_STREAM, CWS_H2_CANCEL};
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        struct h2_record *client, *server;
        open_request(pair, &client, &server);
        h2_reset(server, codes[i]);
        settle(pair->loop);
        assert_string_equal(client->events, "c");
        assert_true(client->end.reset);
        assert_int_equal(client->end.code, codes[i]);
        assert_int_equal(client->end.unprocessed, codes[i] == CWS_H2_REFUSED_STREAM);
        assert_null(client->end.lost);
        h2_pair_close(pair);
    }
}

static void test_a_reset_before_anything_has_left(void **state)
{
    struct h2_pair *pair = *state;
    h2_pair_open(pair, 10, 0);
    settle(pair->loop);
    struct h2_settled settled = {0};
    struct h2_record *client = h2_request(&pair->client, "/never");
    h2_send(client, 0, 10, &settled);
    h2_reset(client, CWS_H2_CANCEL);
    assert_int_equal(settled.closed, 1);
    struct h2_record *next = h2_request(&pair->client, "/next");
    settle(pair->loop);
    assert_int_equal(cws_h2_conn_stream_count(pair->client.conn), 1);
    assert_int_equal(h2_seen(&pair->server), 1);
    assert_non_null(strstr(h2_nth(&pair->server, 0)->fields, "/next"));
    assert_int_equal(next->closes, 0);
    h2_pair_close(pair);
}

static void test_both_reset_at_once(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_reset(client, CWS_H2_CANCEL);
    h2_reset(server, CWS_H2_CANCEL);
    settle(pair->loop);
    assert_int_equal(cws_h2_conn_stream_count(pair->client.conn), 0);
    assert_int_equal(cws_h2_conn_stream_count(pair->server.conn), 0);
    h2_pair_close(pair);
}

/* Resets inside one event; then the same stream must stay silent, and the connection good for
 * another one. */
static char reset_at;

static void reset_in_event(struct h2_record *record, char event)
{
    if (event == reset_at && record->stream)
        h2_reset(record, CWS_H2_CANCEL);
}

static void exchange(struct h2_pair *pair)
{
    size_t n = h2_seen(&pair->server);
    struct h2_record *client = h2_request(&pair->client, "/");
    h2_send_all(client, 3000, 1000, NULL);
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    struct h2_record *server = h2_nth(&pair->server, n);
    if (!server->stream)
        return;
    h2_respond(server);
    h2_send_all(server, 3000, 1000, NULL);
    h2_finish_with(server, "a", "b");
    settle(pair->loop);
}

static void test_a_reset_inside_each_event(void **state)
{
    struct h2_pair *pair = *state;
    for (int of_server = 0; of_server < 2; of_server++) {
        for (const char *event = "fhder"; *event; event++) {
            for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
                h2_pair_open(pair, 10, 0);
                memory_set_shape(pair->client.transport, &MEMORY_SHAPES[i]);
                memory_set_shape(pair->server.transport, &MEMORY_SHAPES[i]);
                settle(pair->loop);
                reset_at = *event;
                struct h2_side *side = of_server ? &pair->server : &pair->client;
                side->hook = reset_in_event;
                exchange(pair);
                assert_true(h2_nth(side, 0)->is_reset);
                side->hook = NULL;
                exchange(pair);
                assert_string_equal(h2_nth(&pair->client, 1)->events, "rfhdfhec");
                assert_int_equal(cws_h2_conn_stream_count(pair->client.conn), 0);
                assert_int_equal(cws_h2_conn_stream_count(pair->server.conn), 0);
                h2_pair_close(pair);
            }
        }
    }
}

static void reset_the_other(struct h2_record *record, char event)
{
    struct h2_record *other = record->side->hook_ctx;
    if (event == 'h' && other->stream && record != other)
        h2_reset(other, CWS_H2_CANCEL);
}

static void test_an_event_may_reset_another_stream(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    struct h2_record *second = h2_request(&pair->client, "/second");
    settle(pair->loop);
    pair->client.hook = reset_the_other;
    pair->client.hook_ctx = second;
    h2_respond(server);
    h2_respond(h2_nth(&pair->server, 1)); /* in the same bytes */
    settle(pair->loop);
    assert_string_equal(client->events, "fh");
    assert_true(second->is_reset);
    assert_string_equal(second->events, "");
    assert_true(h2_nth(&pair->server, 1)->end.reset);
    h2_pair_close(pair);
}

static void test_trailers_without_memory(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_request(pair, &client, &server);
    h2_respond(server);
    struct cws_h2_field trailers[] = {cws_h2_field_of("a", "b")};
    cws_alloc_fail_at(1);
    assert_int_equal(cws_h2_stream_finish_with(server->stream, trailers, 1), CWS_NO_MEMORY);
    h2_finish_with(server, "a", "b"); /* a second try is allowed */
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    assert_int_equal(client->closes, 1);
    h2_pair_close(pair);
}

#define STREAM_TEST(function) TEST_WITH(struct h2_pair, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(test_headers_body_and_trailers),
        STREAM_TEST(test_a_large_frame_does_not_overtake_the_headers),
        STREAM_TEST(test_interim_responses_are_not_told),
        STREAM_TEST(test_an_interim_response_cannot_end_a_stream),
        STREAM_TEST(test_an_answer_of_headers_alone),
        STREAM_TEST(test_no_body_but_trailers),
        STREAM_TEST(test_a_body_that_ends_without_trailers),
        STREAM_TEST(test_the_end_may_come_long_after_the_body),
        STREAM_TEST(test_empty_blocks_are_settled_too),
        STREAM_TEST(test_an_early_answer_ends_the_request),
        STREAM_TEST(test_large_bodies_both_ways),
        STREAM_TEST(test_many_large_bodies_at_once),
        STREAM_TEST(test_manual_credit_stops_the_sender),
        STREAM_TEST(test_the_window_grows_with_what_is_delivered),
        STREAM_TEST(test_on_drained_may_queue_more),
        STREAM_TEST(test_the_client_resets),
        STREAM_TEST(test_the_server_resets),
        STREAM_TEST(test_a_reset_before_anything_has_left),
        STREAM_TEST(test_both_reset_at_once),
        STREAM_TEST(test_a_reset_inside_each_event),
        STREAM_TEST(test_an_event_may_reset_another_stream),
        STREAM_TEST(test_trailers_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
