/* grpc/pool, grpc/channel, sandbox/exec: what they do after seconds and minutes, by a clock that is
 * put forward. */

#include "support/exec_peer.h"
#include "support/fake_clock.h"

#include "grpc/channel_private.h"
#include "h2/conn_private.h"

static void open_limited(struct client_bed *bed, uint32_t max_streams)
{
    const struct cws_server_options options = {.max_streams = max_streams};
    client_bed_open(bed, &options);
}

static size_t connections_of(struct client_bed *bed)
{
    size_t connections, calls;
    cws_channel_count(bed->loop, &connections, &calls);
    return connections;
}

static size_t channels_of(struct client_bed *bed)
{
    size_t n = 0;
    struct cws_list *entries = &cws_loop_registry(bed->loop)->entries;
    for (struct cws_list *node = entries->next; node != entries; node = node->next)
        n++;
    return n;
}

static void drop_channel(struct client_bed *bed)
{
    cws_channel_unref(bed->channel);
    bed->channel = NULL;
    settle(bed->loop);
}

/* --- channels that nobody uses --- */

static void test_an_unused_channel_goes_after_a_while(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    drop_channel(bed);
    fake_clock_advance(bed->loop, 29 * CWS_NS_PER_S);
    assert_int_equal(channels_of(bed), 1);
    assert_int_equal(connections_of(bed), 1);
    fake_clock_advance(bed->loop, 2 * CWS_NS_PER_S);
    assert_int_equal(channels_of(bed), 0);
    client_bed_channel(bed, (struct cws_channel_options){0}); /* the next one starts afresh */
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    assert_int_equal(bed->accepted, 2);
    client_bed_close(bed);
}

static void test_a_channel_that_is_used_again_stays(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    drop_channel(bed);
    fake_clock_advance(bed->loop, 20 * CWS_NS_PER_S);
    client_bed_channel(bed, (struct cws_channel_options){0});
    fake_clock_advance(bed->loop, 60 * CWS_NS_PER_S);
    assert_int_equal(channels_of(bed), 1);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    assert_int_equal(bed->accepted, 1);
    client_bed_close(bed);
}

/* A call holds no reference of its own; its channel stays for it all the same. */
static void test_a_channel_with_a_call_stays(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
    struct served *served = wait_served(bed, 0);
    drop_channel(bed);
    fake_clock_advance(bed->loop, 31 * CWS_NS_PER_S);
    fake_clock_advance(bed->loop, 31 * CWS_NS_PER_S);
    assert_int_equal(channels_of(bed), 1);
    served_finish(served, CWS_GRPC_OK, NULL);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    fake_clock_advance(bed->loop, 31 * CWS_NS_PER_S);
    assert_int_equal(channels_of(bed), 0);
    client_bed_close(bed);
}

static void test_the_loop_goes_while_a_channel_connects(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 5);
    uv_run(cws_loop_uv(bed->loop), UV_RUN_NOWAIT); /* begins to dial */
    assert_int_equal(connections_of(bed), 1);
    rpc_cancel(rpc);
    cws_channel_unref(bed->channel);
    bed->channel = NULL;
    cws_listener_free(bed->listener);
    bed->listener = NULL;
    client_bed_close(bed);
}

/* --- connections --- */

static void test_connections_of_a_burst_go_when_they_are_idle(void **state)
{
    struct client_bed *bed = *state;
    open_limited(bed, 1);
    for (int i = 0; i < 3; i++)
        rpc_unary(bed, HOLD_PATH, 5);
    WAIT_FOR(bed->loop, bed->service.started == 3);
    assert_int_equal(connections_of(bed), 3);
    served_finish(service_nth(&bed->service, 0), CWS_GRPC_OK, NULL);
    served_finish(service_nth(&bed->service, 1), CWS_GRPC_OK, NULL);
    WAIT_FOR(bed->loop, bed->service.closed == 2);
    settle(bed->loop);
    fake_clock_advance(bed->loop, 31 * CWS_NS_PER_S);
    /* one of the idle ones is the first, which stays for the next call; the third has a call */
    WAIT_FOR(bed->loop, connections_of(bed) == 2);
    fake_clock_advance(bed->loop, 100 * CWS_NS_PER_S);
    settle(bed->loop);
    assert_int_equal(connections_of(bed), 2);
    served_finish(service_nth(&bed->service, 2), CWS_GRPC_OK, NULL);
    WAIT_FOR(bed->loop, bed->service.closed == 3);
    settle(bed->loop);
    fake_clock_advance(bed->loop, 31 * CWS_NS_PER_S);
    WAIT_FOR(bed->loop, connections_of(bed) == 1);
    fake_clock_advance(bed->loop, 1000 * CWS_NS_PER_S);
    settle(bed->loop);
    assert_int_equal(connections_of(bed), 1);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    assert_int_equal(bed->accepted, 3);
    client_bed_close(bed);
}

static void test_a_peer_that_never_says_anything(void **state)
{
    struct client_bed *bed = *state;
    int fd = client_bed_open_silent(bed);
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 5);
    settle(bed->loop);
    fake_clock_advance(bed->loop, 19 * CWS_NS_PER_S);
    assert_int_equal(rpc->done, 0);
    fake_clock_advance(bed->loop, 2 * CWS_NS_PER_S);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "SETTINGS");
    assert_int_equal(connections_of(bed), 0);
    close(fd);
    client_bed_close(bed);
}

static void refuse(struct h2_record *record, char event)
{
    if (event == 'h' && record->stream)
        h2_reset(record, CWS_H2_REFUSED_STREAM);
}

static void test_refused_calls_pause_between_their_tries(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, refuse);
    struct rpc *rpc = rpc_unary(bed, ECHO_PATH, 5);
    WAIT_FOR(bed->loop, bed->accepted && h2_seen(&bed->raw[0]) == 2);
    for (size_t tries = 3; tries <= 10; tries++) {
        settle(bed->loop);
        assert_int_equal(rpc->done, 0);
        fake_clock_advance(bed->loop, CWS_NS_PER_S);
        WAIT_FOR(bed->loop, h2_seen(&bed->raw[0]) == tries);
    }
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    client_bed_close(bed);
}

/* --- commands --- */

static void test_ready_has_five_seconds(void **state)
{
    struct exec_bed *bed = *state;
    static const struct {
        double timeout_s;
        uint64_t limit_ns;
    } rows[] = {{-1, 5 * CWS_NS_PER_S}, {60, 5 * CWS_NS_PER_S}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        exec_bed_open(bed);
        struct cws_exec *exec = exec_start(bed, true, rows[i].timeout_s);
        wait_remote(bed, 0);
        fake_clock_advance(bed->client.loop, rows[i].limit_ns - CWS_NS_PER_S);
        assert_false(cws_future_is_done(&exec->future));
        fake_clock_advance(bed->client.loop, CWS_NS_PER_S);
        exec_wait(bed, exec);
        assert_int_equal(exec->end, CWS_EXEC_READY_TIMEOUT);
        cws_exec_unref(exec);
        exec_bed_close(bed);
    }
}

/* The service cannot have heard of a command that waits for room on a connection. */
static void test_ready_is_awaited_from_when_the_command_is_sent(void **state)
{
    struct exec_bed *bed = *state;
    const struct cws_server_options one_stream = {.max_streams = 1};
    exec_bed_init_with(bed, &one_stream, (struct cws_channel_options){.max_connections = 1});
    exec_bed_open_sandbox(bed);
    struct cws_exec *first = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_exec *second = exec_start(bed, true, 60);
    settle(bed->client.loop);
    fake_clock_advance(bed->client.loop, 8 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&second->future));
    remote_end(remote, 0);
    wait_remote(bed, 1);
    fake_clock_advance(bed->client.loop, 4 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&second->future));
    fake_clock_advance(bed->client.loop, 2 * CWS_NS_PER_S);
    exec_wait(bed, second);
    assert_int_equal(second->end, CWS_EXEC_READY_TIMEOUT);
    cws_exec_unref(first);
    cws_exec_unref(second);
    exec_bed_close(bed);
}

/* The call's own limit counts while it waits. */
static void test_the_limit_counts_while_a_command_waits_for_room(void **state)
{
    struct exec_bed *bed = *state;
    const struct cws_server_options one_stream = {.max_streams = 1};
    exec_bed_init_with(bed, &one_stream, (struct cws_channel_options){.max_connections = 1});
    exec_bed_open_sandbox(bed);
    struct cws_exec *first = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_exec *second = exec_start(bed, true, 6);
    settle(bed->client.loop);
    fake_clock_advance(bed->client.loop, 7 * CWS_NS_PER_S);
    exec_wait(bed, second);
    assert_int_equal(second->end, CWS_EXEC_STATUS);
    assert_int_equal(second->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    remote_end(remote, 0);
    exec_wait(bed, first);
    cws_exec_unref(first);
    cws_exec_unref(second);
    exec_bed_close(bed);
}

static struct h2_record *nth_request(struct exec_bed *bed, size_t n)
{
    WAIT_FOR(bed->client.loop, bed->client.accepted && h2_seen(&bed->client.raw[0]) > n &&
                                   strchr(h2_nth(&bed->client.raw[0], n)->events, 'h'));
    return h2_nth(&bed->client.raw[0], n);
}

/* A service of bare HTTP/2: it takes what comes and does nothing by itself. */
static void exec_bed_open_raw(struct exec_bed *bed)
{
    *bed = (struct exec_bed){0};
    cws_list_init(&bed->remotes);
    client_bed_init(&bed->client);
    client_bed_listen(&bed->client);
    client_bed_channel(&bed->client, (struct cws_channel_options){.max_connections = 1});
    assert_int_equal(cws_sandbox_new(bed->client.loop, &bed->sandbox), CWS_OK);
    exec_bed_open_sandbox(bed);
}

/* Refused, it waits for room once more: with all of its time when it gets it. */
static void test_a_refused_command_has_its_time_for_ready_again(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open_raw(bed);
    struct cws_exec *exec = exec_start(bed, true, 60);
    struct h2_record *request = nth_request(bed, 0);
    fake_clock_advance(bed->client.loop, 4 * CWS_NS_PER_S);
    client_bed_raw_allow(&bed->client, 0, 0);
    h2_reset(request, CWS_H2_REFUSED_STREAM);
    settle(bed->client.loop);
    fake_clock_advance(bed->client.loop, 4 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&exec->future));
    client_bed_raw_allow(&bed->client, 0, 1);
    nth_request(bed, 1);
    fake_clock_advance(bed->client.loop, 4 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&exec->future));
    fake_clock_advance(bed->client.loop, 2 * CWS_NS_PER_S);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_READY_TIMEOUT);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* One that gets no answer leaves its connection in doubt. */
static void test_no_ready_and_no_other_sign_of_life(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open_raw(bed);
    struct cws_exec *first = exec_start(bed, true, 60);
    nth_request(bed, 0);
    settle(bed->client.loop);
    cws_transport_pause(bed->client.raw[0].conn->transport, true);
    struct cws_exec *second = exec_start(bed, true, 60);
    settle(bed->client.loop);
    fake_clock_advance(bed->client.loop, 6 * CWS_NS_PER_S);
    exec_wait(bed, second);
    struct cws_exec *third = exec_start(bed, true, 60);
    WAIT_FOR(bed->client.loop, bed->client.accepted == 2);
    cws_exec_cancel(third);
    exec_wait(bed, third);
    exec_wait(bed, first);
    cws_exec_unref(first);
    cws_exec_unref(second);
    cws_exec_unref(third);
    exec_bed_close(bed);
}

static void test_after_ready_only_the_time_limit_counts(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, 60);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    remote_output(remote, false, "x");
    WAIT_FOR(bed->client.loop, cws_output_size(&exec->out));
    fake_clock_advance(bed->client.loop, 59 * CWS_NS_PER_S);
    assert_false(cws_future_is_done(&exec->future));
    fake_clock_advance(bed->client.loop, 2 * CWS_NS_PER_S);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_a_command_without_a_limit_runs_for_days(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    fake_clock_advance(bed->client.loop, 10 * 86400 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&exec->future));
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_a_stream_that_stays_open_after_the_exit(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_exit(remote, 0);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    fake_clock_advance(bed->client.loop, 4 * CWS_NS_PER_S);
    settle(bed->client.loop);
    assert_false(remote->gone);
    fake_clock_advance(bed->client.loop, 2 * CWS_NS_PER_S);
    WAIT_FOR(bed->client.loop, remote->gone);
    exec_bed_close(bed);
}

#define TIME_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TIME_TEST(test_an_unused_channel_goes_after_a_while),
        TIME_TEST(test_a_channel_that_is_used_again_stays),
        TIME_TEST(test_a_channel_with_a_call_stays),
        TIME_TEST(test_the_loop_goes_while_a_channel_connects),
        TIME_TEST(test_connections_of_a_burst_go_when_they_are_idle),
        TIME_TEST(test_a_peer_that_never_says_anything),
        TIME_TEST(test_refused_calls_pause_between_their_tries),
        TIME_TEST(test_ready_has_five_seconds),
        TIME_TEST(test_ready_is_awaited_from_when_the_command_is_sent),
        TIME_TEST(test_the_limit_counts_while_a_command_waits_for_room),
        TIME_TEST(test_a_refused_command_has_its_time_for_ready_again),
        TIME_TEST(test_no_ready_and_no_other_sign_of_life),
        TIME_TEST(test_after_ready_only_the_time_limit_counts),
        TIME_TEST(test_a_command_without_a_limit_runs_for_days),
        TIME_TEST(test_a_stream_that_stays_open_after_the_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
