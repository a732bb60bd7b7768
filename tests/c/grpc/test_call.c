/* grpc/call: a call against our own server, and against peers that answer in every other way. */

#include "support/client_peer.h"
#include "support/failing.h"

/* --- in good order --- */

static void test_unary(void **state)
{
    struct client_bed *bed = *state;
    static const size_t lens[] = {0, 1, 1000, 65536, 3 << 20};
    client_bed_open(bed, NULL);
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        struct rpc *rpc = rpc_unary(bed, ECHO_PATH, lens[i]);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        assert_int_equal(rpc->messages, 1);
        assert_int_equal(rpc->bytes, lens[i]);
        assert_false(rpc->differs);
        assert_false(rpc->status.local);
        assert_int_equal(rpc->settled.ok, 1);
    }
    assert_int_equal(bed->accepted, 1); /* one connection for all */
    client_bed_close(bed);
}

static void test_many_messages_both_ways(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, ECHO_PATH);
    size_t sum = 0;
    for (size_t i = 0; i < 2000; i++) {
        rpc_send(rpc, i * 7 % 5000);
        sum += i * 7 % 5000;
    }
    rpc_half_close(rpc);
    rpc_half_close(rpc); /* again: harmless */
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    assert_int_equal(rpc->messages, 2000);
    assert_int_equal(rpc->bytes, sum);
    assert_int_equal(rpc->settled.ok, 2000);
    assert_false(rpc->differs);
    client_bed_close(bed);
}

static void test_one_message_at_a_time(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, ECHO_PATH);
    for (unsigned i = 1; i <= 50; i++) {
        rpc_send(rpc, i);
        WAIT_FOR(bed->loop, rpc->messages == i);
        assert_int_equal(rpc->settled.ok, i);
    }
    rpc_half_close(rpc);
    rpc_wait(rpc);
    client_bed_close(bed);
}

static void test_a_status_with_details(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    for (int with_messages = 0; with_messages < 2; with_messages++) {
        struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
        struct served *served = wait_served(bed, (size_t)with_messages);
        for (int i = 0; i < 3 * with_messages; i++)
            served_send(served, 100);
        cws_server_call_finish(served->call, CWS_GRPC_FAILED_PRECONDITION, "caf\xc3\xa9 100%\n",
                               (const uint8_t *)"d\0t", 3);
        rpc_wait(rpc);
        assert_int_equal(rpc->messages, 3 * with_messages);
        assert_int_equal(rpc->status.code, CWS_GRPC_FAILED_PRECONDITION);
        assert_string_equal(rpc->status.message, "caf\xc3\xa9 100%\n");
        assert_int_equal(rpc->status.details_len, 7);
        assert_memory_equal(rpc->status.details, "\0\0\0\3d\0t", 7);
        assert_false(rpc->status.local);
    }
    client_bed_close(bed);
}

static void test_unknown_method(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, "/test.Service/None", 5);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNIMPLEMENTED, "/test.Service/None");
    client_bed_close(bed);
}

/* At the start, which is when headers can be asked for. */
static void check_headers(struct served *served, char event)
{
    static const char *const said[][2] = {{"authorization", "Bearer x"},
                                          {"x-bin", "AAE"},
                                          {":authority", "localhost"},
                                          {"te", "trailers"}};
    if (event != 's')
        return;
    for (size_t i = 0; i < CWS_ARRAY_LEN(said); i++)
        assert_string_equal(cws_server_call_header(served->call, said[i][0]), said[i][1]);
    assert_non_null(strstr(cws_server_call_header(served->call, "user-agent"), "cwsandbox"));
}

static void test_what_the_request_says(void **state)
{
    struct client_bed *bed = *state;
    struct cws_metadata metadata;
    client_bed_init(bed);
    bed->server = service_server(&bed->service, bed->loop, NULL);
    client_bed_listen(bed);
    cws_metadata_init(&metadata);
    assert_int_equal(cws_metadata_add(&metadata, "authorization", 13, "Bearer x", 8, NULL), CWS_OK);
    assert_int_equal(cws_metadata_add(&metadata, "x-bin", 5, "\0\1", 2, NULL), CWS_OK);
    client_bed_channel(bed, (struct cws_channel_options){.metadata = &metadata});
    cws_metadata_done(&metadata); /* it was copied */
    bed->service.hook = check_headers;
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
    struct served *served = wait_served(bed, 0);
    served_finish(served, CWS_GRPC_OK, NULL);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

/* As many fields and bytes as are allowed get through. */
static void test_all_the_metadata_there_may_be(void **state)
{
    struct client_bed *bed = *state;
    struct cws_metadata metadata;
    char value[32768];
    memset(value, 'v', sizeof(value));
    for (size_t fields = 1; fields <= CWS_METADATA_MAX_FIELDS;
         fields += CWS_METADATA_MAX_FIELDS - 1) {
        client_bed_init(bed);
        bed->server = service_server(&bed->service, bed->loop, NULL);
        client_bed_listen(bed);
        cws_metadata_init(&metadata);
        size_t len = CWS_METADATA_MAX_SIZE / fields - 33;
        for (size_t i = 0; i < fields; i++)
            assert_int_equal(cws_metadata_add(&metadata, "x", 1, value, len, NULL), CWS_OK);
        client_bed_channel(bed, (struct cws_channel_options){.metadata = &metadata});
        cws_metadata_done(&metadata);
        struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 5);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        client_bed_close(bed);
    }
}

/* --- deadlines --- */

static void test_the_deadline_passes(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start_until(bed, HOLD_PATH, cws_clock_deadline_ns(0.05));
    rpc_send(rpc, 5);
    struct served *served = wait_served(bed, 0);
    uint64_t left = cws_server_call_deadline_ns(served->call) - cws_clock_now_ns();
    assert_true(left <= 60 * CWS_NS_PER_MS); /* it was told to the server */
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    WAIT_FOR(bed->loop, served->closed);
    assert_true(served->why == CWS_GRPC_DEADLINE_EXCEEDED || served->why == CWS_GRPC_CANCELLED);
    client_bed_close(bed);
}

static void test_a_deadline_in_the_past(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start_until(bed, HOLD_PATH, 1);
    rpc_send(rpc, 5);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    client_bed_close(bed);
}

static void test_the_deadline_passes_while_connecting(void **state)
{
    struct client_bed *bed = *state;
    int fd = client_bed_open_silent(bed);
    struct rpc *rpc = rpc_start_until(bed, HOLD_PATH, cws_clock_deadline_ns(0.03));
    rpc_send(rpc, 5);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    assert_int_equal(rpc->settled.closed, 1);
    close(fd);
    client_bed_close(bed);
}

static void test_the_deadline_passes_while_the_server_does_not_read(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start_until(bed, CREDIT_PATH, cws_clock_deadline_ns(0.05));
    for (int i = 0; i < 20; i++)
        rpc_send(rpc, 100000);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    assert_int_equal(rpc->settled.ok + rpc->settled.closed, 20);
    assert_true(rpc->settled.closed > 0);
    client_bed_close(bed);
}

/* --- cancelling --- */

static void test_cancelled_before_it_is_sent(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, HOLD_PATH);
    rpc_send(rpc, 5);
    rpc_cancel(rpc);
    assert_int_equal(rpc->settled.closed, 1);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 1));
    assert_int_equal(bed->service.started, 1); /* the other one alone */
    client_bed_close(bed);
}

static void test_cancelled_while_it_runs(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
    struct served *served = wait_served(bed, 0);
    served_send(served, 10);
    WAIT_FOR(bed->loop, rpc->messages);
    rpc_cancel(rpc);
    assert_int_equal(rpc->settled.ok, 1); /* the peer had answered */
    WAIT_FOR(bed->loop, served->closed);
    assert_int_equal(served->why, CWS_GRPC_CANCELLED);
    client_bed_close(bed);
}

static void cancel_itself(struct rpc *rpc, char event)
{
    if (event == 'm')
        rpc_cancel(rpc);
}

static void test_cancelled_inside_on_message(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, ECHO_PATH);
    rpc->hook = cancel_itself;
    for (int i = 0; i < 5; i++)
        rpc_send(rpc, 5);
    WAIT_FOR(bed->loop, rpc->cancelled);
    WAIT_FOR(bed->loop, bed->service.closed);
    assert_int_equal(rpc->messages, 1);
    client_bed_close(bed);
}

static struct rpc *victim;

static void cancel_the_other(struct rpc *rpc, char event)
{
    (void)event;
    if (victim != rpc && victim->call)
        rpc_cancel(victim);
}

static void test_an_event_may_cancel_another_call(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *a = rpc_unary(bed, ECHO_PATH, 5), *b = rpc_unary(bed, ECHO_PATH, 5);
    a->hook = cancel_the_other;
    victim = b;
    rpc_wait(a);
    assert_true(b->cancelled);
    WAIT_FOR(bed->loop, bed->service.closed == bed->service.started);
    client_bed_close(bed);
}

static void start_another(struct rpc *rpc, char event)
{
    if (event == 's' && rpc->status.code == CWS_GRPC_OK)
        victim = rpc_unary(rpc->bed, ECHO_PATH, 3);
}

static void test_on_status_may_start_another_call(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 5);
    rpc->hook = start_another;
    rpc_wait(rpc);
    rpc_wait(victim);
    rpc_assert_ended(victim, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

/* --- when blocks are settled --- */

static void test_the_first_message_is_kept_until_the_peer_answers(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, HOLD_PATH);
    rpc_send(rpc, 10);
    struct served *served = wait_served(bed, 0);
    WAIT_FOR(bed->loop, served->messages == 1);
    settle(bed->loop);
    assert_int_equal(rpc->settled.ok, 0); /* it may be needed again */
    rpc_send(rpc, 20);
    WAIT_FOR(bed->loop, served->messages == 2);
    assert_int_equal(rpc->settled.ok, 1); /* the second one is not */
    served_send(served, 0);
    WAIT_FOR(bed->loop, rpc->messages);
    assert_int_equal(rpc->settled.ok, 2);
    client_bed_close(bed);
}

static void test_flow_control_holds_messages_back(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_start(bed, CREDIT_PATH);
    struct served *served = wait_served(bed, 0);
    served_send(served, 0);
    WAIT_FOR(bed->loop, rpc->messages);
    for (int i = 0; i < 100; i++)
        rpc_send(rpc, 10000);
    WAIT_FOR(bed->loop, served->bytes >= 200000);
    settle(bed->loop);
    assert_in_range(served->bytes, 200000, 300000);
    assert_in_range(rpc->settled.ok, 20, 40);
    while (served->bytes < 1000000) {
        size_t before = served->bytes;
        cws_server_call_consume(served->call, 200000);
        WAIT_FOR(bed->loop, served->bytes > before);
    }
    assert_false(served->differs);
    WAIT_FOR(bed->loop, rpc->settled.ok == 100);
    client_bed_close(bed);
}

/* --- limits and memory --- */

static void test_an_answer_that_is_too_large(void **state)
{
    struct client_bed *bed = *state;
    client_bed_init(bed);
    bed->server = service_server(&bed->service, bed->loop, NULL);
    client_bed_listen(bed);
    client_bed_channel(bed, (struct cws_channel_options){.max_receive = 1000});
    struct rpc *fits = rpc_unary(bed, ECHO_PATH, 1000);
    rpc_wait(fits);
    rpc_assert_ended(fits, CWS_GRPC_OK, NULL);
    struct rpc *large = rpc_unary(bed, ECHO_PATH, 1001);
    rpc_wait(large);
    rpc_assert_ended(large, CWS_GRPC_RESOURCE_EXHAUSTED, "larger than max (1001 vs. 1000)");
    assert_int_equal(large->messages, 0);
    client_bed_close(bed);
}

static void test_a_request_that_is_too_large(void **state)
{
    struct client_bed *bed = *state;
    const struct cws_server_options options = {.max_message = 1000};
    client_bed_open(bed, &options);
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 3 << 20);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_RESOURCE_EXHAUSTED, "larger than max (3145728 vs. 1000)");
    client_bed_close(bed);
}

static void test_the_server_goes_away(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
    wait_served(bed, 0);
    cws_server_free(bed->server);
    bed->server = NULL;
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    assert_true(rpc->status.local);
    client_bed_close(bed);
}

/* Whatever allocation fails on either side, the call ends once. */
static bool run_with_failing(struct client_bed *bed, size_t n)
{
    client_bed_open(bed, NULL);
    cws_alloc_fail_at(n);
    struct rpc *rpc = rpc_start_until(bed, ECHO_PATH, cws_clock_deadline_ns(30));
    struct cws_block *block = rpc->call ? cws_block_new(CWS_FRAME_PREFIX + 70000) : NULL;
    if (block) {
        fill_pattern(block->data + CWS_FRAME_PREFIX, 70000, 0);
        cws_call_send(rpc->call, block);
        rpc_half_close(rpc);
        rpc_wait(rpc);
    } else if (rpc->call) {
        rpc_cancel(rpc);
    }
    bool reached = failing_was_reached(n);
    if (rpc->done && rpc->status.code == CWS_GRPC_OK) {
        assert_int_equal(rpc->messages, 1);
        assert_int_equal(rpc->bytes, 70000);
        assert_false(rpc->differs);
    } else {
        assert_true(reached);
    }
    if (rpc->done && rpc->status.code == CWS_GRPC_DEADLINE_EXCEEDED)
        fail_msg("allocation %zu failed and nobody told the call", n);
    client_bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n++;
    assert_true(n > 20);
}

#define CALL_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(test_unary),
        CALL_TEST(test_many_messages_both_ways),
        CALL_TEST(test_one_message_at_a_time),
        CALL_TEST(test_a_status_with_details),
        CALL_TEST(test_unknown_method),
        CALL_TEST(test_what_the_request_says),
        CALL_TEST(test_all_the_metadata_there_may_be),
        CALL_TEST(test_the_deadline_passes),
        CALL_TEST(test_a_deadline_in_the_past),
        CALL_TEST(test_the_deadline_passes_while_connecting),
        CALL_TEST(test_the_deadline_passes_while_the_server_does_not_read),
        CALL_TEST(test_cancelled_before_it_is_sent),
        CALL_TEST(test_cancelled_while_it_runs),
        CALL_TEST(test_cancelled_inside_on_message),
        CALL_TEST(test_an_event_may_cancel_another_call),
        CALL_TEST(test_on_status_may_start_another_call),
        CALL_TEST(test_the_first_message_is_kept_until_the_peer_answers),
        CALL_TEST(test_flow_control_holds_messages_back),
        CALL_TEST(test_an_answer_that_is_too_large),
        CALL_TEST(test_a_request_that_is_too_large),
        CALL_TEST(test_the_server_goes_away),
        CALL_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
