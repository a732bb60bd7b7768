/* grpc/pool: how many connections there are, which call goes where, and what happens when none can
 * be made. */
#include "support/client_peer.h"
#include "support/failing.h"

static void open_limited(struct client_bed *bed, uint32_t max_streams, unsigned max_connections)
{
    const struct cws_server_options options = {.max_streams = max_streams};
    client_bed_init(bed);
    bed->server = service_server(&bed->service, bed->loop, &options);
    client_bed_listen(bed);
    client_bed_channel(bed, (struct cws_channel_options){.max_connections = max_connections});
}

static size_t live_connections(struct client_bed *bed)
{
    size_t connections, calls;
    cws_channel_count(bed->loop, &connections, &calls);
    return connections;
}

static size_t ended_ok(const struct client_bed *bed)
{
    size_t n = 0;
    for (const struct cws_list *node = bed->rpcs.next; node != &bed->rpcs; node = node->next) {
        const struct rpc *rpc = cws_list_entry(node, const struct rpc, node);
        n += rpc->done && rpc->status.code == CWS_GRPC_OK;
    }
    return n;
}

/* --- peers that let no stream through --- */

static void answer(struct h2_record *record, char event)
{
    if (event != 'h' || !record->stream)
        return;
    respond_only(record, "200", "grpc-status", "0");
}

/* Long enough for any number of connections to be made one after the other. */
static void settle_connections(struct client_bed *bed)
{
    for (int i = 0; i < 10; i++) {
        pump(bed->loop);
        settle(bed->loop);
    }
}

static void start_calls(struct client_bed *bed, unsigned n)
{
    while (n--)
        rpc_unary(bed, ECHO_PATH, 5);
}

/* One more than the first at the most; all calls go through once one of them lets streams
 * through. */
static void test_no_stream_is_let_through_at_first(void **state)
{
    static const unsigned rows[] = {1, 500}; /* calls that wait */
    struct client_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        client_bed_open_raw(bed, answer);
        bed->raw_max_streams = 0;
        start_calls(bed, rows[i]);
        WAIT_FOR(bed->loop, bed->accepted);
        settle_connections(bed);
        assert_in_range(bed->accepted, 1, 2);
        assert_in_range(live_connections(bed), 1, 2);
        bed->raw_max_streams = 100;
        client_bed_raw_allow(bed, bed->accepted - 1, 100);
        WAIT_FOR(bed->loop, ended_ok(bed) == rows[i]);
        client_bed_close(bed);
    }
}

/* The same peer was generous before. */
static void test_no_stream_is_let_through_any_more(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, answer);
    start_calls(bed, 1);
    WAIT_FOR(bed->loop, ended_ok(bed) == 1);
    bed->raw_max_streams = 0;
    client_bed_raw_allow(bed, 0, 0);
    start_calls(bed, 300);
    settle_connections(bed);
    assert_int_equal(bed->accepted, 2);
    client_bed_raw_allow(bed, 0, 100);
    WAIT_FOR(bed->loop, ended_ok(bed) == 301);
    client_bed_close(bed);
}

static void answer_once(struct h2_record *record, char event)
{
    struct client_bed *bed = record->side->hook_ctx;
    if (event == 'h' && record->stream)
        client_bed_raw_limit(&bed->raw[bed->accepted - 1], 0);
    answer(record, event);
}

/* Each connection takes one call and then no more. */
static void test_no_stream_is_let_through_after_one(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, answer_once);
    for (unsigned n = 1; n <= 5; n++) {
        start_calls(bed, 1);
        WAIT_FOR(bed->loop, ended_ok(bed) == n);
        assert_int_equal(bed->accepted, n);
        settle_connections(bed);
    }
    client_bed_close(bed);
}

/* One that lets none through does not keep calls from those that do. */
static void test_no_stream_is_let_through_by_one_of_several(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, answer);
    bed->raw_max_streams = 0;
    start_calls(bed, 1);
    WAIT_FOR(bed->loop, bed->accepted);
    bed->raw_max_streams = 100;
    WAIT_FOR(bed->loop, ended_ok(bed) == 1);
    start_calls(bed, 300);
    WAIT_FOR(bed->loop, ended_ok(bed) == 301);
    client_bed_close(bed);
}

/* --- many calls --- */

static void test_a_thousand_calls_at_once(void **state)
{
    struct client_bed *bed = *state;
    enum { CALLS = 1000 };
    open_limited(bed, 100, 0);
    for (int i = 0; i < CALLS; i++)
        rpc_unary(bed, HOLD_PATH, 100); /* none ends before all have begun */
    WAIT_FOR(bed->loop, bed->service.started == CALLS);
    assert_int_equal(bed->accepted, 10);
    assert_int_equal(live_connections(bed), 10);
    for (struct cws_list *node = bed->service.calls.next; node != &bed->service.calls;
         node = node->next)
        served_finish(cws_list_entry(node, struct served, node), CWS_GRPC_OK, NULL);
    WAIT_FOR(bed->loop, ended_ok(bed) == CALLS);
    client_bed_close(bed);
}

static void test_calls_beyond_all_connections_wait_their_turn(void **state)
{
    struct client_bed *bed = *state;
    enum { CALLS = 500 };
    open_limited(bed, 10, 3);
    for (int i = 0; i < CALLS; i++)
        rpc_unary(bed, ECHO_PATH, 100);
    WAIT_FOR(bed->loop, ended_ok(bed) == CALLS);
    assert_in_range(bed->accepted, 1, 3);
    client_bed_close(bed);
}

static void test_one_at_a_time_needs_one_connection(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 1, 0);
    for (int i = 0; i < 50; i++) {
        struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 10);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    }
    assert_in_range(bed->accepted, 1,
                    2); /* the slot may be taken a moment longer on the peer's side */
    client_bed_close(bed);
}

static void test_waiting_calls_keep_their_order(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 1, 1);
    struct rpc *rpcs[5];
    for (int i = 0; i < 5; i++)
        rpcs[i] = rpc_unary(bed, HOLD_PATH, (size_t)i);
    for (size_t i = 0; i < 5; i++) {
        struct served *served = wait_served(bed, i);
        WAIT_FOR(bed->loop, served->messages);
        assert_int_equal(served->bytes, i);
        assert_int_equal(bed->service.started, i + 1);
        served_finish(served, CWS_GRPC_OK, NULL);
        rpc_wait(rpcs[i]);
    }
    client_bed_close(bed);
}

static void test_the_deadline_counts_in_the_queue(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 1, 1);
    rpc_unary(bed, HOLD_PATH, 1);
    wait_served(bed, 0);
    struct rpc *waits = rpc_start_until(bed, HOLD_PATH, cws_clock_deadline_ns(0.03));
    struct rpc *cancelled = rpc_unary(bed, HOLD_PATH, 1);
    struct rpc *last = rpc_unary(bed, HOLD_PATH, 1);
    rpc_wait(waits);
    rpc_assert_ended(waits, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    rpc_cancel(cancelled);
    served_finish(service_nth(&bed->service, 0), CWS_GRPC_OK, NULL);
    struct served *served = wait_served(bed, 1);
    served_finish(served, CWS_GRPC_OK, NULL);
    rpc_wait(last);
    rpc_assert_ended(last, CWS_GRPC_OK, NULL);
    assert_int_equal(bed->service.started, 2);
    client_bed_close(bed);
}

/* --- no connection --- */

static void test_nobody_listens(void **state)
{
    struct client_bed *bed = *state;
    client_bed_init(bed);
    client_bed_channel(bed, (struct cws_channel_options){0});
    struct rpc *a = rpc_unary(bed, ECHO_PATH, 1), *b = rpc_unary(bed, ECHO_PATH, 1);
    rpc_wait(a);
    rpc_wait(b);
    rpc_assert_ended(a, CWS_GRPC_UNAVAILABLE, bed->path); /* told where */
    rpc_assert_ended(b, CWS_GRPC_UNAVAILABLE, bed->path);
    assert_true(a->status.local);
    assert_int_equal(a->settled.closed, 1);
    assert_int_equal(live_connections(bed), 0);
    /* Once somebody does, the next call gets through. */
    bed->server = service_server(&bed->service, bed->loop, NULL);
    client_bed_listen(bed);
    struct rpc *c = rpc_unary(bed, ECHO_PATH, 1);
    rpc_wait(c);
    rpc_assert_ended(c, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

static void retry_once(struct rpc *rpc, char event)
{
    if (event == 's' && rpc->bed->listener == NULL) {
        rpc->bed->server = service_server(&rpc->bed->service, rpc->bed->loop, NULL);
        client_bed_listen(rpc->bed);
        rpc_unary(rpc->bed, ECHO_PATH, 1);
    }
}

static void test_a_call_started_by_one_that_fails_has_a_try_of_its_own(void **state)
{
    struct client_bed *bed = *state;
    client_bed_init(bed);
    client_bed_channel(bed, (struct cws_channel_options){0});
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 1);
    rpc->hook = retry_once;
    WAIT_FOR(bed->loop, ended_ok(bed) == 1);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    client_bed_close(bed);
}

static void test_the_server_comes_back(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    for (int round = 0; round < 3; round++) {
        struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 1);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        cws_server_free(bed->server);
        WAIT_FOR(bed->loop,
                 live_connections(bed) == 0); /* an idle connection that goes harms nobody */
        bed->server = service_server(&bed->service, bed->loop, NULL);
    }
    assert_int_equal(bed->accepted, 3);
    client_bed_close(bed);
}

/* All streams of the one connection are taken for long, and a second cannot be made for a while. */
static void test_a_failed_dial_beside_a_live_connection_is_tried_again(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 2, 0);
    rpc_unary(bed, HOLD_PATH, 1);
    rpc_unary(bed, HOLD_PATH, 1);
    wait_served(bed, 1);
    cws_listener_free(bed->listener);
    bed->listener = NULL;
    struct rpc *waits = rpc_unary(bed, ECHO_PATH, 1);
    settle(bed->loop); /* the dial fails at once: there is no such socket */
    assert_int_equal(live_connections(bed), 1);
    assert_int_equal(waits->done, 0); /* the connection that lives may have room yet */
    client_bed_listen(bed);
    rpc_wait(waits); /* though no stream has ended */
    rpc_assert_ended(waits, CWS_GRPC_OK, NULL);
    assert_int_equal(bed->accepted, 2);
    assert_int_equal(bed->service.closed, 1);
    client_bed_close(bed);
}

static void test_the_connection_breaks_under_many_calls(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 20, 0);
    for (int i = 0; i < 60; i++)
        rpc_unary(bed, HOLD_PATH, 10);
    WAIT_FOR(bed->loop, bed->service.started == 60);
    cws_server_free(bed->server);
    bed->server = NULL;
    size_t ended = 0;
    for (struct cws_list *node = bed->rpcs.next; node != &bed->rpcs; node = node->next) {
        struct rpc *rpc = cws_list_entry(node, struct rpc, node);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
        ended++;
    }
    assert_int_equal(ended, 60);
    client_bed_close(bed);
}

/* --- memory that fails --- */

static void test_a_stream_without_memory_ends_its_call(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 1));
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 1);
    cws_alloc_fail_at(1); /* the next one is the stream's */
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "out of memory");
    struct rpc *next = rpc_unary(bed, ECHO_PATH, 1);
    rpc_wait(next);
    rpc_assert_ended(next, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

/* Whatever allocation fails, 30 calls over several connections all end. */
static bool run_with_failing(struct client_bed *bed, size_t n)
{
    open_limited(bed, 10, 0);
    for (int i = 0; i < 30; i++)
        rpc_unary(bed, ECHO_PATH, 2000);
    cws_alloc_fail_at(n);
    for (struct cws_list *node = bed->rpcs.next; node != &bed->rpcs; node = node->next)
        rpc_wait(cws_list_entry(node, struct rpc, node));
    bool reached = failing_was_reached(n);
    if (!reached)
        assert_int_equal(ended_ok(bed), 30);
    client_bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n += n < 60 ? 1 : 7;
    assert_true(n > 60);
}

#define POOL_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_no_stream_is_let_through_at_first),
        POOL_TEST(test_no_stream_is_let_through_any_more),
        POOL_TEST(test_no_stream_is_let_through_after_one),
        POOL_TEST(test_no_stream_is_let_through_by_one_of_several),
        POOL_TEST(test_a_thousand_calls_at_once),
        POOL_TEST(test_calls_beyond_all_connections_wait_their_turn),
        POOL_TEST(test_one_at_a_time_needs_one_connection),
        POOL_TEST(test_waiting_calls_keep_their_order),
        POOL_TEST(test_the_deadline_counts_in_the_queue),
        POOL_TEST(test_nobody_listens),
        POOL_TEST(test_a_call_started_by_one_that_fails_has_a_try_of_its_own),
        POOL_TEST(test_the_server_comes_back),
        POOL_TEST(test_a_failed_dial_beside_a_live_connection_is_tried_again),
        POOL_TEST(test_the_connection_breaks_under_many_calls),
        POOL_TEST(test_a_stream_without_memory_ends_its_call),
        POOL_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
