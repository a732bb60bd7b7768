/* h2/conn: a client and a server connection against each other, and each way a connection can
 * go. */
#include "h2/conn_private.h"
#include "support/failing.h"
#include "support/h2_peer.h"

/* Connected, with both sides' SETTINGS exchanged. */
static void open_ready(struct h2_pair *pair, uint32_t max_streams)
{
    h2_pair_open(pair, max_streams, 0);
    settle(pair->loop);
    assert_int_equal(pair->client.ready, 1);
    assert_int_equal(pair->server.ready, 1);
}

/* One request the server has seen, on a connection that is ready. */
static void open_with_request(struct h2_pair *pair, struct h2_record **out_client,
                              struct h2_record **out_server)
{
    open_ready(pair, 100);
    *out_client = h2_request(&pair->client, "/one");
    settle(pair->loop);
    *out_server = h2_nth(&pair->server, 0);
}

/* --- the beginning --- */

static void test_settings_tell_the_number_of_streams(void **state)
{
    struct h2_pair *pair = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        h2_pair_open(pair, 7, 0);
        memory_set_shape(pair->client.transport, &MEMORY_SHAPES[i]);
        memory_set_shape(pair->server.transport, &MEMORY_SHAPES[i]);
        assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), 0); /* not known yet */
        settle(pair->loop);
        assert_int_equal(pair->client.ready, 1);
        assert_int_equal(pair->server.ready, 1);
        assert_true(pair->client.room > 0);
        assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), 7);
        assert_false(cws_h2_conn_is_draining(pair->client.conn));
        h2_pair_close(pair);
    }
}

static void test_more_streams_than_the_peer_takes_at_once(void **state)
{
    struct h2_pair *pair = *state;
    enum { MOST = 5, ALL = 60 };
    size_t sent = 0;
    open_ready(pair, MOST);
    while (sent < ALL) {
        size_t free_slots = cws_h2_conn_free_slots(pair->client.conn);
        assert_true(free_slots > 0 && free_slots <= MOST);
        for (; free_slots > 0 && sent < ALL; free_slots--, sent++) {
            struct h2_record *record = h2_request(&pair->client, "/");
            cws_h2_stream_finish(record->stream);
            assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), free_slots - 1);
        }
        settle(pair->loop);
        assert_int_equal(h2_seen(&pair->server), sent); /* none was refused */
        unsigned room = pair->client.room;
        struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200")};
        for (size_t i = 0; i < sent; i++) {
            struct h2_record *record = h2_nth(&pair->server, i);
            if (record->stream && !strchr(record->events, 'c'))
                assert_int_equal(cws_h2_stream_respond_only(record->stream, fields, 1), CWS_OK);
        }
        settle(pair->loop);
        assert_int_equal(cws_h2_conn_stream_count(pair->client.conn), 0);
        assert_true(pair->client.room > room);
    }
    for (size_t i = 0; i < ALL; i++) {
        assert_string_equal(h2_nth(&pair->client, i)->events, "fhec");
        assert_string_equal(h2_nth(&pair->server, i)->events, "fhec");
    }
    h2_pair_close(pair);
}

/* --- GOAWAY --- */

static void test_a_draining_server_finishes_what_it_has(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    cws_h2_conn_drain(pair->server.conn);
    cws_h2_conn_drain(pair->server.conn);
    settle(pair->loop);
    assert_true(cws_h2_conn_is_draining(pair->server.conn));
    assert_true(cws_h2_conn_is_draining(pair->client.conn));
    assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), 0);
    assert_null(h2_request(&pair->client, "/late"));
    assert_int_equal(pair->client.closed, 0);
    h2_respond(server);
    h2_send_all(server, 100000, 7000, NULL);
    cws_h2_stream_finish(client->stream);
    h2_finish_with(server, "a", "b");
    settle(pair->loop);
    assert_string_equal(client->events, "fhdfhec");
    assert_int_equal(client->data_len, 100000);
    assert_int_equal(client->end.code, CWS_H2_NO_ERROR);
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->client.why.status, CWS_OK);
    assert_int_equal(pair->server.closed, 1);
    assert_int_equal(pair->server.why.status, CWS_OK);
    h2_pair_close(pair);
}

/* The request is on its way when the server says that it takes no more. */
static void test_a_request_that_crosses_a_goaway_was_not_processed(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    pair->server.transport->held = true;
    struct h2_record *late = h2_request(&pair->client, "/late");
    cws_h2_stream_finish(late->stream);
    settle(pair->loop);
    cws_h2_conn_drain(pair->server.conn);
    settle(pair->loop);
    assert_int_equal(late->closes, 1);
    assert_true(late->end.unprocessed);
    assert_null(late->end.lost);
    memory_release(pair->server.transport);
    settle(pair->loop);
    assert_int_equal(h2_seen(&pair->server), 1); /* it never heard of it */
    assert_int_equal(client->closes, 0);         /* the other one goes on */
    h2_pair_close(pair);
}

/* Opened, but its HEADERS have not left when the GOAWAY comes in. */
static void test_a_request_that_has_not_left_was_not_processed(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    pair->server.transport->room = 10;
    pair->server.transport->held = true;
    h2_send(client, 0, 1000, NULL); /* fills the way */
    settle(pair->loop);
    struct h2_record *late = h2_request(&pair->client, "/late");
    struct h2_settled settled = {0};
    h2_send(late, 0, 10, &settled);
    cws_h2_conn_drain(pair->server.conn);
    settle(pair->loop);
    assert_true(cws_h2_conn_is_draining(pair->client.conn));
    memory_release(pair->server.transport);
    settle(pair->loop);
    assert_int_equal(late->closes, 1);
    assert_true(late->end.unprocessed);
    assert_null(late->end.lost);
    assert_int_equal(settled.closed, 1);
    assert_int_equal(h2_seen(&pair->server), 1);
    assert_int_equal(server->data_len, 1000);
    h2_pair_close(pair);
}

static void test_a_draining_client_finishes_what_it_has(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    cws_h2_conn_drain(pair->client.conn);
    settle(pair->loop);
    assert_null(h2_request(&pair->client, "/late"));
    h2_respond(server);
    cws_h2_stream_finish(server->stream);
    cws_h2_stream_finish(client->stream);
    settle(pair->loop);
    assert_string_equal(client->events, "fhec");
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->client.why.status, CWS_OK);
    assert_int_equal(pair->server.closed, 1);
    assert_int_equal(pair->server.why.status, CWS_OK);
    h2_pair_close(pair);
}

static void test_draining_an_idle_connection_closes_it(void **state)
{
    struct h2_pair *pair = *state;
    open_ready(pair, 10);
    cws_h2_conn_drain(pair->client.conn);
    settle(pair->loop);
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->server.closed, 1);
    h2_pair_close(pair);
}

static void test_a_connection_whose_stream_ids_are_used_up(void **state)
{
    struct h2_pair *pair = *state;
    open_ready(pair, 100);
    nghttp2_session_set_next_stream_id(pair->client.conn->session, INT32_MAX);
    struct h2_record *last = h2_request(&pair->client, "/last");
    assert_non_null(last);
    assert_null(h2_request(&pair->client, "/one-too-many"));
    assert_true(cws_h2_conn_is_draining(pair->client.conn));
    assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), 0);
    settle(pair->loop);
    struct h2_record *server = h2_nth(&pair->server, 0);
    assert_int_equal(h2_seen(&pair->server), 1);
    assert_int_equal(pair->client.closed, 0); /* what it has it finishes */
    h2_respond(server);
    h2_finish_with(server, "a", "b");
    settle(pair->loop);
    assert_string_equal(last->events, "fhfhec");
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->client.why.status, CWS_OK);
    h2_pair_close(pair);
}

/* --- the connection breaks --- */

static void test_the_peer_goes_away_without_a_word(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    struct h2_settled settled = {0};
    cws_h2_stream_set_manual_credit(server->stream, true);
    h2_send(client, 0, 2 << 20, &settled); /* more than the window: part of it stays queued */
    settle(pair->loop);
    memory_break(pair->client.transport, CWS_OK, "");
    settle(pair->loop);
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->client.why.status, CWS_CLOSED);
    assert_string_equal(pair->client.why.text, "the peer closed the connection");
    assert_string_equal(client->events, "c");
    assert_string_equal(client->lost, "the peer closed the connection");
    assert_false(client->end.unprocessed); /* it had left */
    assert_int_equal(settled.closed, 1);
    h2_pair_close(pair);
}

static void test_the_reason_of_a_break_is_passed_on(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    memory_break(pair->client.transport, CWS_IO, "read: connection reset by peer");
    settle(pair->loop);
    assert_int_equal(pair->client.why.status, CWS_IO);
    assert_string_equal(client->lost, "read: connection reset by peer");
    h2_pair_close(pair);
}

/* A write fails first; what the peer had still sent, and why it broke, come after. */
static void test_what_arrived_before_the_break_is_heard(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    pair->client.transport->held = true;
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200"),
                                    cws_h2_field_of("grpc-status", "8")};
    assert_int_equal(cws_h2_stream_respond_only(server->stream, fields, 2), CWS_OK);
    settle(pair->loop);
    memory_break(pair->client.transport, CWS_IO, "write: broken pipe");
    h2_send(client, 0, 100, NULL); /* finds it broken */
    settle(pair->loop);
    memory_release(pair->client.transport);
    settle(pair->loop);
    assert_string_equal(client->fields, ":status=200;grpc-status=8;|");
    assert_int_equal(client->ends, 1);
    assert_int_equal(pair->client.closed, 1);
    assert_string_equal(pair->client.why.text, "write: broken pipe");
    h2_pair_close(pair);
}

static void test_a_request_not_sent_when_it_breaks_was_not_processed(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    pair->server.transport->room = 10;
    pair->server.transport->held = true;
    h2_send(client, 0, 1000, NULL); /* fills the way */
    settle(pair->loop);
    struct h2_record *late = h2_request(&pair->client, "/late");
    settle(pair->loop);
    memory_break(pair->client.transport, CWS_OK, "");
    settle(pair->loop);
    assert_true(late->end.unprocessed);
    assert_non_null(late->end.lost);
    assert_false(client->end.unprocessed);
    h2_pair_close(pair);
}

static void check_garbage(enum cws_h2_role role, const void *bytes, size_t len)
{
    struct h2_side side;
    struct memory_end *end, *far;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    memory_pair(loop, &end, &far);
    h2_side_open(&side, loop, role, end, 10, 0);
    feed_raw(end, bytes, len);
    settle(loop);
    assert_int_equal(side.closed, 1);
    assert_int_equal(side.why.status, CWS_PROTOCOL);
    assert_true(strlen(side.why.text) > 0);
    h2_side_done(&side);
    cws_transport_close(&far->transport);
    loop_close(loop);
    assert_int_equal(cws_alloc_live(), live);
}

static void test_peers_that_do_not_speak_http2(void **state)
{
    (void)state;
    static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const char ping_first[] = "\0\0\x08\x06\0\0\0\0\0"
                                     "12345678";
    static const char zeroes[100];
    check_garbage(CWS_H2_CLIENT, http1, sizeof(http1) - 1);
    check_garbage(CWS_H2_CLIENT, ping_first, sizeof(ping_first) - 1);
    check_garbage(CWS_H2_CLIENT, zeroes, sizeof(zeroes));
    check_garbage(CWS_H2_SERVER, get, sizeof(get) - 1);
    check_garbage(CWS_H2_SERVER, ping_first, sizeof(ping_first) - 1);
}

/* A frame that is against the protocol, in the midst of a call: told as such, not as an end in good
 * order. */
static void test_a_violation_later_on(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    static const char data_on_stream_0[] = "\0\0\x01\0\0\0\0\0\0x";
    feed_raw(pair->client.transport, data_on_stream_0, sizeof(data_on_stream_0) - 1);
    settle(pair->loop);
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(pair->client.why.status, CWS_PROTOCOL);
    assert_non_null(client->end.lost);
    h2_pair_close(pair);
}

/* --- freeing --- */

static void test_free_tells_open_streams(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    struct h2_settled settled = {0};
    cws_h2_stream_set_manual_credit(server->stream, true);
    h2_send(client, 0, 2 << 20, &settled);
    settle(pair->loop);
    struct h2_record *gone = h2_request(&pair->client, "/gone");
    h2_reset(gone, CWS_H2_CANCEL);
    h2_free(&pair->client);
    assert_int_equal(client->closes, 1);
    assert_non_null(client->end.lost);
    assert_int_equal(settled.closed, 1);
    assert_int_equal(pair->client.closed, 0); /* no event of the connection's own */
    settle(pair->loop);
    assert_int_equal(pair->server.closed, 1);
    assert_int_equal(server->closes, 1);
    h2_pair_close(pair);
    cws_h2_conn_free(NULL);
}

/* A request and its answer with `turns` deliveries made, then one side is freed: each stream hears
 * of its end once, and nothing is left. Returns whether there was more to come. */
static bool free_after(struct h2_pair *pair, unsigned turns, bool free_server)
{
    h2_pair_open(pair, 10, 0);
    pair->client.transport->turns_left = pair->server.transport->turns_left = &turns;
    pair->client.transport->piece = pair->server.transport->piece = 40;
    struct h2_record *client = NULL;
    for (int i = 0; i < 30; i++) {
        settle(pair->loop);
        if (!client && cws_h2_conn_free_slots(pair->client.conn) &&
            (client = h2_request(&pair->client, "/"))) {
            h2_send_all(client, 300, 100, NULL);
            cws_h2_stream_finish(client->stream);
        }
        struct h2_record *server = h2_seen(&pair->server) ? h2_nth(&pair->server, 0) : NULL;
        if (server && server->stream && server->ends == 1) {
            server->ends = 2; /* answered */
            h2_respond(server);
            h2_send_all(server, 200, 50, NULL);
            h2_finish_with(server, "x", "y");
        }
    }
    bool more = turns == 0;
    h2_free(free_server ? &pair->server : &pair->client);
    turns = UINT32_MAX;
    memory_wake(free_server ? pair->client.transport : pair->server.transport);
    settle(pair->loop);
    assert_int_equal(free_server ? pair->client.closed : pair->server.closed, 1);
    h2_pair_close(pair);
    return more;
}

static void test_freeing_either_side_at_any_time(void **state)
{
    for (int free_server = 0; free_server < 2; free_server++) {
        unsigned turns = 0;
        while (free_after(*state, turns, free_server))
            turns++;
        assert_true(turns > 10); /* there was something to interrupt */
    }
}

static void test_the_owner_may_free_later_than_on_closed(void **state)
{
    struct h2_pair *pair = *state;
    struct h2_record *client, *server;
    open_with_request(pair, &client, &server);
    pair->client.free_on_closed = false;
    memory_break(pair->client.transport, CWS_OK, "");
    settle(pair->loop);
    assert_int_equal(pair->client.closed, 1);
    assert_int_equal(cws_h2_conn_free_slots(pair->client.conn), 0);
    assert_true(cws_h2_conn_is_draining(pair->client.conn));
    assert_null(h2_request(&pair->client, "/"));
    cws_h2_conn_drain(pair->client.conn);
    settle(pair->loop);
    assert_int_equal(pair->client.closed, 1); /* once */
    h2_pair_close(pair);
}

/* --- memory that fails --- */

static void answer(struct h2_record *record, char event)
{
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200")};
    struct cws_h2_field trailers[] = {cws_h2_field_of("x", "y")};
    if (event != 'e')
        return;
    struct cws_block *block = cws_block_new(100);
    if (!block || cws_h2_stream_respond(record->stream, fields, 1) != CWS_OK) {
        cws_free(block);
        h2_reset(record, CWS_H2_INTERNAL_ERROR);
        return;
    }
    fill_pattern(block->data, 100, 0);
    cws_h2_stream_send(record->stream, block);
    if (cws_h2_stream_finish_with(record->stream, trailers, 1) != CWS_OK)
        h2_reset(record, CWS_H2_INTERNAL_ERROR);
}

/* Whatever allocation fails: either the answer comes, or an end. */
static bool run_with_failing(struct h2_pair *pair, size_t n)
{
    struct memory_end *a, *b;
    pair->live = cws_alloc_live();
    pair->loop = loop_open();
    memory_pair(pair->loop, &a, &b);
    cws_alloc_fail_at(n);
    h2_side_open(&pair->client, pair->loop, CWS_H2_CLIENT, a, 0, 0);
    h2_side_open(&pair->server, pair->loop, CWS_H2_SERVER, b, 10, 0);
    pair->server.hook = answer;
    settle(pair->loop);
    struct h2_record *client = NULL;
    if (pair->client.conn && (client = h2_request(&pair->client, "/"))) {
        struct cws_block *block = cws_block_new(10);
        if (block) {
            fill_pattern(block->data, 10, 0);
            cws_h2_stream_send(client->stream, block);
        }
        cws_h2_stream_finish(client->stream);
        settle(pair->loop);
        assert_true(client->closes == 1 || pair->client.closed == 1);
    }
    bool reached = failing_was_reached(n);
    if (!reached) {
        assert_string_equal(client->events, "rfhdfhec");
        assert_int_equal(client->data_len, 100);
    }
    h2_pair_close(pair);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n++;
    assert_true(n > 8);
}

#define CONN_TEST(function) TEST_WITH(struct h2_pair, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_settings_tell_the_number_of_streams),
        CONN_TEST(test_more_streams_than_the_peer_takes_at_once),
        CONN_TEST(test_a_draining_server_finishes_what_it_has),
        CONN_TEST(test_a_request_that_crosses_a_goaway_was_not_processed),
        CONN_TEST(test_a_request_that_has_not_left_was_not_processed),
        CONN_TEST(test_a_draining_client_finishes_what_it_has),
        CONN_TEST(test_draining_an_idle_connection_closes_it),
        CONN_TEST(test_a_connection_whose_stream_ids_are_used_up),
        CONN_TEST(test_the_peer_goes_away_without_a_word),
        CONN_TEST(test_the_reason_of_a_break_is_passed_on),
        CONN_TEST(test_what_arrived_before_the_break_is_heard),
        CONN_TEST(test_a_request_not_sent_when_it_breaks_was_not_processed),
        CONN_TEST(test_peers_that_do_not_speak_http2),
        CONN_TEST(test_a_violation_later_on),
        CONN_TEST(test_free_tells_open_streams),
        CONN_TEST(test_freeing_either_side_at_any_time),
        CONN_TEST(test_the_owner_may_free_later_than_on_closed),
        CONN_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
