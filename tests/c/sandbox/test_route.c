/* sandbox/route, sandbox/sandbox: which way a command goes, and when it waits for one. */
#include "support/exec_peer.h"

#define PERMITTED (1u << CWS_DATA_STREAM_EXEC)
#define FAR       CWS_NO_DEADLINE

/* The direct way leads to the same socket, over another channel. */
static struct cws_channel *direct_channel(struct exec_bed *bed)
{
    struct cws_channel *channel = NULL;
    struct cws_error err = {0};
    const struct cws_channel_options options = {.url = bed->client.url, .max_connections = 3};
    if (cws_channel_new(bed->client.loop, &options, &channel, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return channel;
}

static void ignore_status(void *ctx, struct cws_grpc_status *status)
{
    *(bool *)ctx = status->code == CWS_GRPC_OK;
}

static void connect_channel(struct exec_bed *bed, struct cws_channel *channel)
{
    static const struct cws_call_events events = {.on_status = ignore_status};
    const struct cws_call_options options = {.deadline_ns = CWS_NO_DEADLINE};
    bool connected = false;
    assert_non_null(cws_call_start(channel, &options, &events, &connected));
    WAIT_FOR(bed->client.loop, connected);
}

static void test_the_rows(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_channel *gateway = bed->client.channel, *other = direct_channel(bed);
    const uint64_t past = 1;
    const struct {
        struct cws_direct direct;
        bool connected;
        struct cws_channel *chosen;
        bool is_missed;
    } rows[] = {
        {{NULL, 0, 0, false}, false, gateway, false},
        {{NULL, 0, 0, true}, false, NULL, false},
        {{other, PERMITTED, FAR, false}, false, gateway, true},
        {{other, PERMITTED, FAR, true}, false, other, false},
        {{other, PERMITTED, FAR, false}, true, other, false},
        {{other, PERMITTED, past, false}, true, gateway, true},
        {{other, PERMITTED, past, true}, true, other, false},
        {{other, 0, FAR, false}, true, gateway, false},
        {{other, 0, FAR, true}, true, NULL, false},
        {{other, ~PERMITTED, FAR, false}, true, gateway, false},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_call_options options = {0};
        bool missed;
        if (rows[i].connected && !cws_channel_is_connected(other))
            connect_channel(bed, other);
        struct cws_channel *chosen =
            cws_route(&rows[i].direct, gateway, CWS_DATA_STREAM_EXEC, &options, &missed);
        if (chosen != rows[i].chosen || missed != rows[i].is_missed)
            fail_msg("row %zu", i);
        if (!chosen)
            continue;
        assert_string_equal(options.path, chosen == other ? CWS_DIRECT_PATH "StreamExec"
                                                          : CWS_GATEWAY_PATH "StreamExec");
        bool has_other = chosen == other && !rows[i].direct.strict;
        assert_ptr_equal(options.otherwise, has_other ? gateway : NULL);
        assert_int_equal(options.is_refusal != NULL, chosen == other);
    }
    cws_channel_unref(other);
    exec_bed_close(bed);
}

static struct cws_exec *start(struct exec_bed *bed, const char *name)
{
    char *argv[] = {(char *)(uintptr_t)name};
    const struct cws_exec_options options = {
        .argv = argv, .argc = 1, .container = "", .timeout_s = -1};
    struct cws_exec *exec = NULL;
    assert_int_equal(cws_exec_start(bed->sandbox, &options, &exec), CWS_OK);
    return exec;
}

static void finish(struct exec_bed *bed, size_t n, struct cws_exec *exec)
{
    remote_end(wait_remote(bed, n), 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
}

static void test_what_misses_it_is_noted(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_channel *other = direct_channel(bed);
    const struct cws_direct direct = {other, PERMITTED, FAR, false};
    assert_int_equal(cws_sandbox_set_direct(bed->sandbox, &direct), CWS_OK);
    settle(bed->client.loop);
    assert_false(atomic_load(&bed->sandbox->direct_missed));
    finish(bed, 0, start(bed, "a")); /* by the gateway */
    assert_true(atomic_load(&bed->sandbox->direct_missed));
    assert_int_equal(cws_sandbox_set_direct(bed->sandbox, &(struct cws_direct){0}), CWS_OK);
    settle(bed->client.loop);
    assert_false(atomic_load(&bed->sandbox->direct_missed));
    finish(bed, 1, start(bed, "b"));
    assert_false(atomic_load(&bed->sandbox->direct_missed));
    cws_channel_unref(other);
    exec_bed_close(bed);
}

static void test_no_way_is_told(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    assert_int_equal(cws_sandbox_set_direct(bed->sandbox, &(struct cws_direct){.strict = true}),
                     CWS_OK);
    struct cws_exec *exec = start(bed, "a");
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_UNAVAILABLE);
    assert_string_equal(exec->status.message, CWS_ROUTE_NOT_PERMITTED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_what_is_held_back_is_sent_when_it_opens(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *running = start(bed, "running");
    wait_remote(bed, 0);
    assert_int_equal(cws_sandbox_hold(bed->sandbox), CWS_OK);
    struct cws_exec *held = start(bed, "held");
    settle(bed->client.loop);
    assert_int_equal(held->end, CWS_EXEC_RUNNING);
    finish(bed, 0, running); /* that one is left alone */
    exec_bed_open_sandbox(bed);
    finish(bed, 1, held);
    exec_bed_close(bed);
}

static void test_the_end_of_the_sandbox_ends_the_direct_way(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_channel *other = direct_channel(bed);
    const struct cws_direct direct = {other, PERMITTED, FAR, false};
    assert_int_equal(cws_sandbox_set_direct(bed->sandbox, &direct), CWS_OK);
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    assert_int_equal(cws_sandbox_set_direct(bed->sandbox, &direct), CWS_OK); /* too late */
    settle(bed->client.loop);
    assert_null(bed->sandbox->loop_only.direct.channel);
    cws_channel_unref(other);
    exec_bed_close(bed);
}

int main(void)
{
#define TEST(name) TEST_WITH(struct exec_bed, name)
    const struct CMUnitTest tests[] = {
        TEST(test_the_rows),
        TEST(test_what_misses_it_is_noted),
        TEST(test_no_way_is_told),
        TEST(test_what_is_held_back_is_sent_when_it_opens),
        TEST(test_the_end_of_the_sandbox_ends_the_direct_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
