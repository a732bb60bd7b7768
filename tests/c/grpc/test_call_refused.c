/* grpc/elsewhere: a call that is refused, and waits for another channel. */
#include "support/client_peer.h"

#define PATH "/test.Direct/Do"

/* The peer refuses so many, and serves what comes then. */
static unsigned refusals;

static void answer(struct h2_record *record, char event)
{
    if (event != 'h' || !record->stream)
        return;
    if (refusals == 0) {
        respond_only(record, "200", "grpc-status", "0");
        return;
    }
    refusals--;
    respond_failed(record, "14", "moved");
}

/* bed->channel is the first; `second` leads to the same peer. */
struct two {
    struct client_bed *bed;
    struct cws_channel *second;
    struct cws_refused_calls refused;
    unsigned told;
};

static void on_refused(struct cws_refused_calls *refused, struct cws_call *call)
{
    assert_false(cws_list_is_empty(&refused->calls));
    assert_false(cws_call_is_open(call));
    cws_container_of(refused, struct two, refused)->told++;
}

static void open_two(struct two *two, struct client_bed *bed, unsigned how_many)
{
    struct cws_error err = {0};
    refusals = how_many;
    client_bed_open_raw(bed, answer);
    *two = (struct two){.bed = bed, .refused.on_refused = on_refused};
    cws_list_init(&two->refused.calls);
    /* Another limit makes it another channel. */
    const struct cws_channel_options options = {.url = bed->url, .max_connections = 3};
    if (cws_channel_new(bed->loop, &options, &two->second, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static void close_two(struct two *two)
{
    assert_true(cws_list_is_empty(&two->refused.calls));
    cws_channel_unref(two->second);
    client_bed_close(two->bed);
}

static struct rpc *start(struct two *two, uint64_t deadline_ns)
{
    const struct cws_call_options options = {
        .path = PATH,
        .deadline_ns = deadline_ns,
        .is_refusal = says_moved,
        .refused = &two->refused,
    };
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    assert_non_null(rpc);
    rpc->bed = two->bed;
    cws_list_push_back(&two->bed->rpcs, &rpc->node);
    rpc->call = cws_call_start(two->bed->channel, &options, &rpc_events, rpc);
    assert_non_null(rpc->call);
    return rpc;
}

/* One that waits. */
static struct rpc *start_refused(struct two *two, size_t len, uint64_t deadline_ns)
{
    unsigned before = two->told;
    struct rpc *rpc = start(two, deadline_ns);
    rpc_send(rpc, len);
    rpc_half_close(rpc);
    WAIT_FOR(two->bed->loop, two->told > before);
    assert_int_equal(rpc->done, 0);
    assert_true(cws_channel_is_refused(two->bed->channel));
    return rpc;
}

static size_t calls_of(struct two *two)
{
    size_t connections, calls;
    cws_channel_count(two->bed->loop, &connections, &calls);
    return calls;
}

static void test_sent_elsewhere(void **state)
{
    static const size_t sizes[] = {0, 5, 300000}; /* the last is refused before it has left whole */
    struct two two;
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++) {
        open_two(&two, *state, 1);
        struct rpc *rpc = start_refused(&two, sizes[i], CWS_NO_DEADLINE);
        assert_string_equal(cws_call_path(rpc->call), PATH);
        assert_ptr_equal(cws_call_of_refused(two.refused.calls.next), rpc->call);
        assert_int_equal(rpc->settled.ok + rpc->settled.closed, 0);
        cws_call_send_elsewhere(rpc->call, two.second);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        assert_int_equal(rpc->settled.ok + rpc->settled.closed, 1);
        assert_int_equal(calls_of(&two), 0);
        assert_false(cws_channel_is_refused(two.second));
        close_two(&two);
    }
}

static void test_refused_twice(void **state)
{
    struct two two;
    open_two(&two, *state, 2);
    struct rpc *rpc = start_refused(&two, 5, CWS_NO_DEADLINE);
    cws_call_send_elsewhere(rpc->call, two.second);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "moved");
    assert_int_equal(two.told, 1);
    assert_true(cws_channel_is_refused(two.second));
    close_two(&two);
}

static void test_nowhere_to_go(void **state)
{
    struct two two;
    open_two(&two, *state, 2);
    struct rpc *first = start_refused(&two, 5, CWS_NO_DEADLINE);
    struct rpc *second = start_refused(&two, 5, CWS_NO_DEADLINE);
    cws_call_end_all_refused(&two.refused);
    rpc_assert_ended(first, CWS_GRPC_UNAVAILABLE, "moved");
    rpc_assert_ended(second, CWS_GRPC_UNAVAILABLE, "moved");
    assert_int_equal(first->settled.closed, 1);
    assert_int_equal(calls_of(&two), 0);
    close_two(&two);
}

static void test_cancelled_while_it_waits(void **state)
{
    struct two two;
    open_two(&two, *state, 1);
    struct rpc *rpc = start_refused(&two, 5, CWS_NO_DEADLINE);
    rpc_cancel(rpc);
    assert_int_equal(rpc->settled.closed, 1);
    assert_int_equal(calls_of(&two), 0);
    close_two(&two);
}

static void test_its_deadline_while_it_waits(void **state)
{
    struct two two;
    open_two(&two, *state, 1);
    struct rpc *rpc = start_refused(&two, 5, cws_clock_now_ns() + CWS_NS_PER_S / 2);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    close_two(&two);
}

static void test_a_second_message_has_left(void **state)
{
    struct two two;
    open_two(&two, *state, 1);
    struct rpc *rpc = start(&two, CWS_NO_DEADLINE);
    rpc_send(rpc, 5);
    rpc_send(rpc, 5);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "moved");
    assert_int_equal(two.told, 0);
    close_two(&two);
}

int main(void)
{
#define TEST(name) TEST_WITH(struct client_bed, name)
    const struct CMUnitTest tests[] = {
        TEST(test_sent_elsewhere),
        TEST(test_refused_twice),
        TEST(test_nowhere_to_go),
        TEST(test_cancelled_while_it_waits),
        TEST(test_its_deadline_while_it_waits),
        TEST(test_a_second_message_has_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
