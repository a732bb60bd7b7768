/* sandbox/exec with a terminal: one stream of output, input from the start, and sizes on the way.
 */
#include "support/exec_peer.h"

#include "base/alloc.h"

static struct cws_exec *terminal_start(struct exec_bed *bed)
{
    return exec_start_with(
        bed, (struct cws_exec_options){
                 .tty = true, .size = {80, 24}, .timeout_s = -1, .kept = CWS_OUTPUT_UNREAD});
}

static void resize(struct cws_exec *exec, unsigned width, unsigned height)
{
    assert_int_equal(cws_exec_resize(exec, (struct cws_exec_size){width, height}), CWS_OK);
}

static struct cws_write *close_input(struct cws_exec *exec)
{
    struct cws_write *write = NULL;
    assert_int_equal(cws_input_close(&exec->input, &write), CWS_OK);
    return write;
}

static void assert_write(struct cws_write *write, enum cws_status how)
{
    assert_true(write_is_done(write));
    assert_int_equal(write->how, how);
    cws_write_unref(write);
}

static void finish(struct exec_bed *bed, struct cws_exec *exec, struct remote *remote)
{
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_let_go(exec);
    exec_bed_close(bed);
}

static void test_the_start(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    assert_string_equal(remote->sizes, "80x24@0|");
    assert_true(exec->with_stdin);
    settle(bed->client.loop);
    assert_false(remote->half_closed);
    assert_true(cws_server_call_deadline_ns(remote->call) == CWS_NO_DEADLINE);
    assert_true(exec->loop_only.timer.index > 0); /* the time for the ready frame runs */
    finish(bed, exec, remote);
}

/* Whatever a frame calls it, and whether it arrives in one piece or not. */
static void test_one_stream_of_output(void **state)
{
    struct exec_bed *bed = *state;
    enum { LARGE = 300000 };
    static uint8_t large[LARGE];
    memset(large, '.', LARGE);
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    remote_output(remote, false, "a");
    remote_output(remote, true, "b");
    remote_bytes(remote, true, large, LARGE);
    remote_output(remote, false, "c");
    WAIT_FOR(bed->client.loop, cws_output_received(&exec->out) == LARGE + 3);
    assert_int_equal(cws_output_received(&exec->err), 0);
    finish(bed, exec, remote);
}

/* --- sizes --- */

static void test_sizes_before_ready(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_init(bed);
    struct cws_exec *exec = terminal_start(bed);
    resize(exec, 100, 30); /* before there is even a call */
    exec_bed_open_sandbox(bed);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_write *write = exec_write(exec, 0, 10);
    resize(exec, 101, 31);
    settle(bed->client.loop);
    assert_string_equal(remote->sizes, "80x24@0|");
    remote_ready(remote);
    WAIT_FOR(bed->client.loop, remote->input == 10);
    assert_string_equal(remote->sizes, "80x24@0|101x31@0|"); /* the newest one, before the input */
    assert_write(write, CWS_OK);
    finish(bed, exec, remote);
}

static void test_a_size_goes_before_the_next_input(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    struct cws_write *first = exec_write(exec, 0, 10);
    WAIT_FOR(bed->client.loop, remote->input == 10);
    resize(exec, 100, 30);
    struct cws_write *second = exec_write(exec, 10, 10);
    WAIT_FOR(bed->client.loop, remote->input == 20);
    assert_string_equal(remote->sizes, "80x24@0|100x30@10|");
    resize(exec, 90, 20); /* without input behind it, too */
    WAIT_FOR(bed->client.loop, remote->resizes == 2);
    assert_string_equal(remote->sizes, "80x24@0|100x30@10|90x20@20|");
    assert_write(first, CWS_OK);
    assert_write(second, CWS_OK);
    finish(bed, exec, remote);
}

static void test_the_close_is_last(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    resize(exec, 100, 30);
    struct cws_write *end = close_input(exec);
    resize(exec, 90, 20); /* dropped: the peer asserts that none comes after the close */
    remote_ready(remote);
    WAIT_FOR(bed->client.loop, remote->half_closed);
    assert_string_equal(remote->sizes, "80x24@0|100x30@0|");
    resize(exec, 91, 21);
    settle(bed->client.loop);
    assert_int_equal(remote->resizes, 1);
    assert_write(end, CWS_OK);
    finish(bed, exec, remote);
}

static void test_a_failed_input_still_takes_sizes(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    cws_input_set_failed(&exec->input);
    resize(exec, 100, 30);
    WAIT_FOR(bed->client.loop, remote->resizes == 1);
    finish(bed, exec, remote);
}

/* The peer does not read: sizes do not pile up, the newest arrives, and all input around it. */
static void test_sizes_do_not_pile_up(void **state)
{
    struct exec_bed *bed = *state;
    enum { LEN = 1 << 20, SIZES = 1000 };
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    struct cws_write *write = exec_write(exec, 0, LEN);
    WAIT_FOR(bed->client.loop, remote->input > 100000);
    settle(bed->client.loop);
    size_t before = cws_alloc_live();
    for (unsigned i = 1; i <= SIZES; i++) {
        resize(exec, i, 1);
        if (i % 100 == 0)
            settle(bed->client.loop);
    }
    assert_true(cws_alloc_live() <= before + 2); /* one on its way, one that waits */
    struct cws_write *end = close_input(exec);
    while (!remote->half_closed) {
        cws_server_call_consume(remote->call, 50000);
        settle(bed->client.loop);
    }
    assert_int_equal(remote->input, LEN);
    assert_string_equal(remote->sizes, "80x24@0|100x1@1048576|1000x1@1048576|");
    assert_write(write, CWS_OK);
    assert_write(end, CWS_OK);
    finish(bed, exec, remote);
}

/* Without input behind it, the newest one follows as soon as the one before has left. */
static void test_the_newest_size_arrives(void **state)
{
    struct exec_bed *bed = *state;
    enum { LEN = 1 << 20 };
    exec_bed_open(bed);
    struct cws_exec *exec = terminal_start(bed);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    struct cws_write *write = exec_write(exec, 0, LEN);
    WAIT_FOR(bed->client.loop, remote->input > 100000);
    for (unsigned i = 1; i <= 5; i++) {
        resize(exec, i, 1);
        settle(bed->client.loop);
    }
    while (remote->resizes < 2) {
        cws_server_call_consume(remote->call, 50000);
        settle(bed->client.loop);
    }
    assert_string_equal(remote->sizes, "80x24@0|1x1@1048576|5x1@1048576|");
    assert_write(write, CWS_OK);
    finish(bed, exec, remote);
}

/* --- ends, with a size that was not sent --- */

static void test_ends_with_a_size_that_waits(void **state)
{
    struct exec_bed *bed = *state;
    enum { BY_EXIT, BY_STATUS, BY_CANCEL, BY_SANDBOX, WAYS };
    for (int way = 0; way < 2 * WAYS; way++) {
        bool is_ready = way >= WAYS;
        exec_bed_open(bed);
        struct cws_exec *exec = terminal_start(bed);
        struct remote *remote = wait_remote(bed, 0);
        struct cws_write *write = NULL;
        if (is_ready) {
            remote_ready(remote);
            write = exec_write(exec, 0, 1 << 20);
            WAIT_FOR(bed->client.loop, remote->input > 100000);
        }
        resize(exec, 100, 30);
        settle(bed->client.loop);
        resize(exec, 101, 31);
        settle(bed->client.loop);
        if (way % WAYS == BY_EXIT)
            remote_end(remote, 0);
        else if (way % WAYS == BY_STATUS)
            remote_finish(remote, CWS_GRPC_UNAVAILABLE, "gone");
        else if (way % WAYS == BY_CANCEL)
            assert_true(cws_exec_cancel(exec));
        else
            assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
        exec_wait(bed, exec);
        resize(exec, 102, 32); /* dropped */
        WAIT_FOR(bed->client.loop, !write || write_is_done(write));
        cws_write_unref(write);
        cws_exec_let_go(exec);
        exec_bed_close(bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(struct exec_bed, test_the_start),
        TEST_WITH(struct exec_bed, test_one_stream_of_output),
        TEST_WITH(struct exec_bed, test_sizes_before_ready),
        TEST_WITH(struct exec_bed, test_a_size_goes_before_the_next_input),
        TEST_WITH(struct exec_bed, test_the_close_is_last),
        TEST_WITH(struct exec_bed, test_a_failed_input_still_takes_sizes),
        TEST_WITH(struct exec_bed, test_sizes_do_not_pile_up),
        TEST_WITH(struct exec_bed, test_the_newest_size_arrives),
        TEST_WITH(struct exec_bed, test_ends_with_a_size_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
