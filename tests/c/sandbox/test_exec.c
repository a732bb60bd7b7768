/* sandbox/exec: a command from its start to each of its ends. */
#include "support/exec_peer.h"
#include "support/failing.h"

#include <pthread.h>

#include "sandbox/cancel.h"

static void assert_end(struct cws_exec *exec, enum cws_exec_end end)
{
    assert_true(cws_future_is_done(&exec->future));
    if (exec->end != end)
        fail_msg("end %d (%s), not %d", (int)exec->end,
                 exec->status.message ? exec->status.message : "", (int)end);
    assert_true(exec->out.shared.ended &&
                exec->err.shared.ended); /* whoever reads lines comes to an end, too */
}

/* --- ends --- */

static void test_output_and_exit(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    assert_string_equal(remote->id, SANDBOX_ID);
    assert_string_equal(remote->argv, "sh|-c|true|");
    WAIT_FOR(bed->client.loop, remote->half_closed); /* no input: nothing more will be sent */
    assert_false(remote->closed_input);
    assert_true(cws_server_call_deadline_ns(remote->call) == CWS_NO_DEADLINE);
    remote_ready(remote);
    remote_output(remote, false, "one\ntw");
    remote_output(remote, true, "warning\n");
    remote_output(remote, false, "o\n");
    WAIT_FOR(bed->client.loop, cws_output_size(&exec->out) == 8);
    assert_false(cws_future_is_done(&exec->future));
    remote_end(remote, 3);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_EXITED);
    assert_int_equal(exec->exit_code, 3);
    assert_output(&exec->out, "one\ntwo\n");
    assert_output(&exec->err, "warning\n");
    assert_null(exec->frame_code);
    WAIT_FOR(bed->client.loop, remote->gone);
    assert_int_equal(remote->why, CWS_GRPC_OK); /* the stream ended in good order */
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_everything_in_one_go(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    static const int codes[] = {0, 1, 137, 255, -1};
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        struct cws_exec *exec = exec_start(bed, false, 60);
        struct remote *remote = wait_remote(bed, i);
        remote_output(remote, false, "out"); /* before ready, which not every service sends */
        remote_ready(remote);
        remote_end(remote, codes[i]);
        exec_wait(bed, exec);
        assert_end(exec, CWS_EXEC_EXITED);
        assert_int_equal(exec->exit_code, codes[i]);
        assert_output(&exec->out, "out");
        cws_exec_unref(exec);
    }
    assert_int_equal(atomic_load(&bed->sandbox->exec_count), 5);
    assert_int_equal(atomic_load(&bed->sandbox->completed_ok), 1);
    assert_int_equal(atomic_load(&bed->sandbox->completed_nonzero), 4);
    assert_int_equal(atomic_load(&bed->sandbox->failures), 0);
    exec_bed_close(bed);
}

static void test_what_counts_as_a_failure(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    static const struct {
        bool check;
        int code;
    } cases[] = {{true, 1}, {true, 0}, {false, 1}, {true, 255}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_exec *exec = exec_start_with(
            bed, (struct cws_exec_options){.check = cases[i].check, .timeout_s = 60});
        struct remote *remote = wait_remote(bed, i);
        remote_ready(remote);
        remote_end(remote, cases[i].code);
        exec_wait(bed, exec);
        assert_end(exec, CWS_EXEC_EXITED);
        assert_int_equal(exec->exit_code, cases[i].code);
        cws_exec_unref(exec);
    }
    assert_int_equal(atomic_load(&bed->sandbox->completed_ok), 1);
    assert_int_equal(atomic_load(&bed->sandbox->completed_nonzero), 1);
    assert_int_equal(atomic_load(&bed->sandbox->failures), 2);
    exec_bed_close(bed);
}

static void test_what_comes_after_the_exit_is_not_looked_at(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_exit(remote, 0);
    remote_output(remote, false, "late");
    remote_exit(remote, 9);
    remote_error(remote, "late", "LATE");
    remote_finish(remote, CWS_GRPC_INTERNAL, "late");
    exec_wait(bed, exec);
    WAIT_FOR(bed->client.loop, remote->gone);
    settle(bed->client.loop);
    assert_end(exec, CWS_EXEC_EXITED);
    assert_int_equal(exec->exit_code, 0);
    assert_output(&exec->out, "");
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_an_error_frame(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    static const char *const codes[] = {"NOT_FOUND", ""};
    for (size_t i = 0; i < CWS_ARRAY_LEN(codes); i++) {
        struct cws_exec *exec = exec_start(bed, false, -1);
        struct remote *remote = wait_remote(bed, i);
        remote_output(remote, true, "some");
        remote_error(remote, "no such program", codes[i]);
        exec_wait(bed, exec);
        assert_end(exec, CWS_EXEC_FRAME);
        assert_string_equal(exec->status.message, "no such program");
        if (*codes[i])
            assert_string_equal(exec->frame_code, codes[i]);
        else
            assert_null(exec->frame_code);
        assert_false(exec->status.local);
        assert_output(&exec->err, "some"); /* what had come stays */
        WAIT_FOR(bed->client.loop, remote->gone);
        cws_exec_unref(exec);
    }
    assert_int_equal(atomic_load(&bed->sandbox->failures), 2);
    exec_bed_close(bed);
}

static void test_the_stream_ends_without_an_exit(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_output(remote, false, "cut");
    remote_finish(remote, CWS_GRPC_OK, NULL);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_NO_EXIT);
    assert_output(&exec->out, "cut");
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_the_call_fails(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    cws_server_call_finish(remote->call, CWS_GRPC_NOT_FOUND, "no sandbox", (const uint8_t *)"d", 1);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_NOT_FOUND);
    assert_string_equal(exec->status.message, "no sandbox");
    assert_int_equal(exec->status.details_len, 5);
    assert_false(exec->status.local);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_the_time_is_up(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, 0.03);
    struct remote *remote = wait_remote(bed, 0);
    assert_true(cws_server_call_deadline_ns(remote->call) < CWS_NO_DEADLINE);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    WAIT_FOR(bed->client.loop, remote->gone);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_the_connection_breaks(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    wait_remote(bed, 0);
    cws_server_free(bed->client.server);
    bed->client.server = NULL;
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_UNAVAILABLE);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* --- large messages --- */

static void assert_pattern(struct cws_output *output, size_t len)
{
    uint8_t *got = malloc(len + 1), *expected = malloc(len + 1);
    fill_pattern(expected, len, 0);
    cws_output_copy(output, got, len);
    assert_memory_equal(got, expected, len);
    free(got);
    free(expected);
}

/* Messages of one pattern that goes on, to both streams, each of many DATA frames. */
static void test_messages_that_come_in_pieces(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    enum { LEN = 3000000, STEP = 100003 };
    uint8_t *bytes = malloc(LEN);
    fill_pattern(bytes, LEN, 0);
    for (size_t at = 0; at < LEN; at += STEP) {
        size_t n = LEN - at < STEP ? LEN - at : STEP;
        remote_bytes(remote, false, bytes + at, n);
        remote_bytes(remote, true, bytes + at, n);
        remote_bytes(remote, false, bytes, 0);
    }
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_EXITED);
    assert_int_equal(cws_output_size(&exec->out), LEN);
    assert_int_equal(cws_output_size(&exec->err), LEN);
    assert_pattern(&exec->out, LEN);
    assert_pattern(&exec->err, LEN);
    free(bytes);
    WAIT_FOR(bed->client.loop, remote->gone);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* Until part of a message of the pattern is there. */
static struct cws_exec *start_large(struct exec_bed *bed, size_t len)
{
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    uint8_t *bytes = malloc(len);
    fill_pattern(bytes, len, 0);
    remote_bytes(remote, false, bytes, len);
    free(bytes);
    WAIT_FOR(bed->client.loop, cws_output_size(&exec->out));
    assert_true(cws_output_size(&exec->out) < len);
    return exec;
}

/* What came of the message's data is output: a failure says that it is not all. */
static void test_a_message_that_breaks_off(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = start_large(bed, 8 << 20);
    cws_server_free(bed->client.server);
    bed->client.server = NULL;
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_UNAVAILABLE);
    size_t size = cws_output_size(&exec->out);
    assert_true(size > 0 && size < 8 << 20);
    assert_pattern(&exec->out, size);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_cancelled_amid_a_message(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = start_large(bed, 8 << 20);
    assert_true(cws_exec_cancel(exec));
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_CANCELLED);
    size_t size = cws_output_size(&exec->out);
    settle(bed->client.loop);
    assert_int_equal(cws_output_size(&exec->out), size);
    assert_pattern(&exec->out, size);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_a_message_that_cannot_be_decoded(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_block *block = cws_server_message_new(3);
    memcpy(block->data + CWS_FRAME_PREFIX, "\x12\x7f!", 3);
    cws_server_call_send(remote->call, block);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_INTERNAL);
    WAIT_FOR(bed->client.loop, remote->gone);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_frames_of_the_future_are_skipped(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_block *block = cws_server_message_new(3);
    memcpy(block->data + CWS_FRAME_PREFIX, "\x7a\x01x", 3);
    cws_server_call_send(remote->call, block);
    cws_server_call_send(remote->call, cws_server_message_new(0));
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* The exit has come, and the peer keeps the stream open: it is reset after a while. */
static void test_a_stream_that_does_not_end_by_itself(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    remote_exit(remote, 0);
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_EXITED);
    WAIT_FOR(bed->client.loop, remote->half_closed); /* our side has ended */
    assert_false(remote->gone);
    assert_int_equal(cws_timer_set(bed->client.loop, &exec->loop_only.timer, 0),
                     CWS_OK); /* the while is over */
    cws_exec_unref(exec);
    WAIT_FOR(bed->client.loop, remote->gone);
    assert_int_equal(remote->why, CWS_GRPC_CANCELLED);
    exec_bed_close(bed);
}

/* --- cancelling --- */

static void test_cancelled_before_it_is_sent(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    assert_true(cws_exec_cancel(exec));
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_CANCELLED);
    assert_true(cws_exec_cancel(exec)); /* it did end so */
    settle(bed->client.loop);
    assert_true(cws_list_is_empty(&bed->remotes));
    assert_int_equal(atomic_load(&bed->sandbox->failures), 1);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_cancelled_while_it_runs(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_output(remote, false, "some");
    WAIT_FOR(bed->client.loop, cws_output_size(&exec->out));
    assert_true(cws_exec_cancel(exec));
    assert_true(cws_exec_cancel(exec));
    exec_wait(bed, exec);
    assert_end(exec, CWS_EXEC_CANCELLED);
    assert_output(&exec->out, "some");
    WAIT_FOR(bed->client.loop, remote->gone);
    assert_int_equal(remote->why, CWS_GRPC_CANCELLED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_cancelled_too_late(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    remote_end(wait_remote(bed, 0), 0);
    exec_wait(bed, exec);
    assert_false(cws_exec_cancel(exec));
    assert_end(exec, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* The end comes in before the wish has reached the loop: "yes" stays "yes", whatever the end. */
static void test_the_end_overtakes_the_wish(void **state)
{
    struct exec_bed *bed = *state;
    for (int how = 0; how < 4; how++) {
        bool first;
        exec_bed_open(bed);
        struct cws_exec *exec = exec_start(bed, false, -1);
        struct remote *remote = wait_remote(bed, 0);
        /* what cws_exec_cancel does first, on a thread that is then held up */
        assert_true(cws_phase_cancel(&exec->shared.phase, &first));
        if (how == 0)
            remote_end(remote, 0);
        else if (how == 1)
            remote_error(remote, "x", "X");
        else
            remote_finish(remote, how == 2 ? CWS_GRPC_OK : CWS_GRPC_INTERNAL, "x");
        exec_wait(bed, exec);
        assert_end(exec, CWS_EXEC_CANCELLED);
        WAIT_FOR(bed->client.loop, remote->gone);
        cws_exec_unref(exec);
        exec_bed_close(bed);
    }
}

static void test_nobody_waits_for_it(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    cws_exec_unref(exec_start(bed, false, -1));
    struct remote *remote = wait_remote(bed, 0);
    remote_end(remote, 0);
    WAIT_FOR(bed->client.loop, remote->gone);
    cws_exec_unref(NULL);
    settle(bed->client.loop);
    exec_bed_close(bed);
}

/* --- memory and threads --- */

/* Of more DATA frames than one, and of more chunks. */
static const char *large_text(void)
{
    static char text[60001];
    memset(text, 'e', sizeof(text) - 1);
    return text;
}

static void run_to_the_end(struct remote *remote, char event)
{
    if (event == 'b') {
        remote_ready(remote);
        remote_output(remote, false, "out\n");
        remote_output(remote, true, large_text());
    } else if (remote->closed_input && !remote->gone) {
        remote_end(remote, 0);
    }
}

/* Whatever allocation fails on either side, the command ends, and its writes with it. */
static bool run_with_failing(struct exec_bed *bed, size_t n)
{
    static char program[] = "cat";
    char *argv[] = {program};
    const struct cws_exec_options options = {
        .argv = argv, .argc = 1, .container = "c", .with_stdin = true, .timeout_s = 30};
    struct cws_exec *exec = NULL;
    struct cws_write *write = NULL, *end = NULL;
    exec_bed_open(bed);
    bed->hook = run_to_the_end;
    cws_alloc_fail_at(n);
    if (cws_exec_start(bed->sandbox, &options, &exec) == CWS_OK) {
        uint8_t bytes[1000];
        fill_pattern(bytes, sizeof(bytes), 0);
        if (cws_input_write(&exec->input, bytes, sizeof(bytes), &write) != CWS_OK ||
            cws_input_close(&exec->input, &end) != CWS_OK)
            cws_exec_cancel(exec);
        exec_wait(bed, exec);
        WAIT_FOR(bed->client.loop,
                 (!write || write_is_done(write)) && (!end || write_is_done(end)));
    }
    bool reached = failing_was_reached(n);
    assert_true(reached || (exec && exec->end == CWS_EXEC_EXITED));
    if (exec && exec->end == CWS_EXEC_EXITED) {
        assert_output(&exec->out, "out\n");
        assert_output(&exec->err, large_text());
    }
    if (exec && exec->end == CWS_EXEC_STATUS)
        assert_int_not_equal(exec->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    cws_write_unref(write);
    cws_write_unref(end);
    cws_exec_unref(exec);
    exec_bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n++;
    assert_true(n > 30);
}

struct user {
    pthread_t thread;
    struct exec_bed *bed;
    unsigned exited, cancelled;
};

static void *exec_and_cancel(void *arg)
{
    struct user *user = arg;
    for (unsigned i = 0; i < 100; i++) {
        struct cws_exec *exec = exec_start(user->bed, true, 30);
        struct cws_write *write = exec_write(exec, 0, 100), *end = NULL;
        assert_int_equal(cws_input_close(&exec->input, &end), CWS_OK);
        bool told_yes = i % 2 && cws_exec_cancel(exec);
        while (!cws_future_is_done(&exec->future))
            told_yes |= i % 4 == 2 && cws_output_size(&exec->out) && cws_exec_cancel(exec);
        assert_int_equal(exec->end, told_yes ? CWS_EXEC_CANCELLED : CWS_EXEC_EXITED);
        while (!write_is_done(write) || !write_is_done(end))
            ;
        user->exited += !told_yes;
        user->cancelled += told_yes;
        cws_write_unref(write);
        cws_write_unref(end);
        cws_exec_unref(exec);
    }
    return NULL;
}

static void test_users_on_many_threads(void **state)
{
    struct exec_bed *bed = *state;
    struct user users[3];
    struct cws_error err = {0};
    exec_bed_open(bed);
    bed->hook = run_to_the_end;
    assert_int_equal(cws_loop_start(bed->client.loop, &err),
                     CWS_OK); /* server and client in its thread */
    for (int i = 0; i < 3; i++) {
        users[i] = (struct user){.bed = bed};
        assert_int_equal(pthread_create(&users[i].thread, NULL, exec_and_cancel, &users[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(users[i].thread, NULL);
        assert_true(users[i].exited >= 25);
        assert_int_equal(users[i].exited + users[i].cancelled, 100);
    }
    client_bed_stop_thread(&bed->client);
    exec_bed_close(bed);
}

#define EXEC_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EXEC_TEST(test_output_and_exit),
        EXEC_TEST(test_everything_in_one_go),
        EXEC_TEST(test_what_counts_as_a_failure),
        EXEC_TEST(test_what_comes_after_the_exit_is_not_looked_at),
        EXEC_TEST(test_an_error_frame),
        EXEC_TEST(test_the_stream_ends_without_an_exit),
        EXEC_TEST(test_the_call_fails),
        EXEC_TEST(test_the_time_is_up),
        EXEC_TEST(test_the_connection_breaks),
        EXEC_TEST(test_messages_that_come_in_pieces),
        EXEC_TEST(test_a_message_that_breaks_off),
        EXEC_TEST(test_cancelled_amid_a_message),
        EXEC_TEST(test_a_message_that_cannot_be_decoded),
        EXEC_TEST(test_frames_of_the_future_are_skipped),
        EXEC_TEST(test_a_stream_that_does_not_end_by_itself),
        EXEC_TEST(test_cancelled_before_it_is_sent),
        EXEC_TEST(test_cancelled_while_it_runs),
        EXEC_TEST(test_cancelled_too_late),
        EXEC_TEST(test_the_end_overtakes_the_wish),
        EXEC_TEST(test_nobody_waits_for_it),
        EXEC_TEST(test_each_allocation_may_fail),
        EXEC_TEST(test_users_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
