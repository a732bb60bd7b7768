/* sandbox/input: writes in order, sent when the command is ready, done under flow control, and
 * never forgotten. */
#include "support/exec_peer.h"
#include "support/failing.h"

#include <pthread.h>

static struct cws_write *close_input(struct cws_exec *exec)
{
    struct cws_write *write = NULL;
    assert_int_equal(cws_input_close(&exec->input, &write), CWS_OK);
    return write;
}

static enum cws_status try_write(struct cws_exec *exec)
{
    struct cws_write *write = NULL;
    enum cws_status status = cws_input_write(&exec->input, (const uint8_t *)"x", 1, &write);
    cws_write_unref(write);
    return status;
}

static void assert_write(struct cws_write *write, enum cws_status how)
{
    assert_true(write_is_done(write));
    assert_int_equal(write->how, how);
    cws_write_unref(write);
}

/* --- the gate --- */

static void test_nothing_is_sent_before_ready(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct cws_write *early = exec_write(exec, 0, 1000);
    struct remote *remote = wait_remote(bed, 0);
    struct cws_write *later = exec_write(exec, 1000, 500);
    remote_output(remote, false, "not yet");
    WAIT_FOR(bed->client.loop, cws_output_size(&exec->out));
    settle(bed->client.loop);
    assert_int_equal(remote->input, 0);
    assert_false(write_is_done(early));
    assert_false(remote->half_closed); /* the input is open */
    remote_ready(remote);
    WAIT_FOR(bed->client.loop, remote->input == 1500);
    assert_false(remote->input_differs);
    WAIT_FOR(bed->client.loop, write_is_done(early) && write_is_done(later));
    remote_ready(remote); /* once more: nothing happens */
    struct cws_write *last = exec_write(exec, 1500, 10);
    struct cws_write *end = close_input(exec);
    WAIT_FOR(bed->client.loop, remote->half_closed);
    assert_int_equal(remote->input, 1510);
    assert_true(remote->closed_input); /* both: the message and the half-close */
    WAIT_FOR(bed->client.loop, write_is_done(end));
    assert_write(early, CWS_OK);
    assert_write(later, CWS_OK);
    assert_write(last, CWS_OK);
    assert_write(end, CWS_OK);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_ready_does_not_come_in_time(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct cws_write *write = exec_write(exec, 0, 10);
    struct remote *remote = wait_remote(bed, 0);
    assert_true(exec->loop_only.timer.index > 0);
    assert_in_range(exec->loop_only.timer.due_ns, cws_clock_now_ns(),
                    cws_clock_now_ns() + 5 * CWS_NS_PER_S);
    assert_int_equal(cws_timer_set(bed->client.loop, &exec->loop_only.timer, 0),
                     CWS_OK); /* the time is up */
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_READY_TIMEOUT);
    assert_write(write, CWS_CLOSED);
    WAIT_FOR(bed->client.loop, remote->gone);
    assert_int_equal(remote->why, CWS_GRPC_CANCELLED);
    assert_int_equal(remote->input, 0);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_the_gate_is_over_with_the_time_limit(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, 0.05);
    exec_wait(bed, exec);
    bool timed_out =
        exec->end == CWS_EXEC_READY_TIMEOUT ||
        (exec->end == CWS_EXEC_STATUS && exec->status.code == CWS_GRPC_DEADLINE_EXCEEDED);
    assert_true(timed_out);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_no_gate_without_input(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, false, -1);
    struct remote *remote = wait_remote(bed, 0);
    assert_int_equal(exec->loop_only.timer.index, 0);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* --- writes --- */

static void test_large_writes_are_cut(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    static const size_t lens[] = {1, CWS_EXEC_STDIN_MAX, CWS_EXEC_STDIN_MAX + 1, 150000, 0, 100};
    size_t sum = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        struct cws_write *write = exec_write(exec, sum, lens[i]);
        sum += lens[i];
        WAIT_FOR(bed->client.loop, remote->input == sum && write_is_done(write));
        cws_server_call_consume(remote->call, lens[i] + 100);
        assert_write(write, CWS_OK);
    }
    assert_int_equal(remote->largest, CWS_EXEC_STDIN_MAX);
    assert_false(remote->input_differs);
    cws_exec_cancel(exec);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* The command does not read: what does not fit stays here, and its writes are not done. */
static void test_back_pressure(void **state)
{
    struct exec_bed *bed = *state;
    enum { WRITES = 40, LEN = 50000 };
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    struct cws_write *writes[WRITES];
    for (size_t i = 0; i < WRITES; i++)
        writes[i] = exec_write(exec, i * LEN, LEN);
    WAIT_FOR(bed->client.loop, remote->input >= 3 * LEN);
    settle(bed->client.loop);
    assert_in_range(remote->input, 3 * LEN, 10 * LEN);
    assert_true(write_is_done(writes[0]));
    assert_false(write_is_done(writes[WRITES / 2]));
    size_t done = 0;
    while (done < WRITES) { /* in order, as the command reads */
        if (write_is_done(writes[done])) {
            assert_write(writes[done++], CWS_OK);
            continue;
        }
        for (size_t i = done + 1; i < WRITES; i++)
            assert_false(write_is_done(writes[i]));
        cws_server_call_consume(remote->call, LEN);
        settle(bed->client.loop);
    }
    WAIT_FOR(bed->client.loop, remote->input == WRITES * LEN);
    assert_false(remote->input_differs);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_after_the_close_nothing_is_taken(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    assert_false(cws_input_is_closed(&exec->input));
    struct cws_write *first = close_input(exec);
    assert_true(cws_input_is_closed(&exec->input));
    assert_int_equal(try_write(exec), CWS_CLOSED);
    assert_write(close_input(exec), CWS_OK); /* again: done at once */
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    WAIT_FOR(bed->client.loop, remote->half_closed && write_is_done(first));
    assert_write(first, CWS_OK);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_after_the_end_nothing_is_taken(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(try_write(exec), CWS_CANCELLED);
    assert_write(close_input(exec), CWS_OK);
    assert_true(cws_input_is_closed(&exec->input));
    assert_int_equal(try_write(exec), CWS_CANCELLED); /* the end wins over the close */
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_after_a_loss_closing_fails_too(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    remote_finish(remote, CWS_GRPC_UNAVAILABLE, "x");
    exec_wait(bed, exec);
    settle(bed->client.loop);
    assert_int_equal(try_write(exec), CWS_CANCELLED);
    assert_write(close_input(exec), CWS_CLOSED);
    assert_write(close_input(exec), CWS_OK);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_set_failed_refuses_further_writes(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct cws_write *queued = exec_write(exec, 0, 10);
    cws_input_set_failed(&exec->input);
    assert_int_equal(try_write(exec), CWS_CANCELLED);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    WAIT_FOR(bed->client.loop,
             remote->input == 10 && write_is_done(queued)); /* what was queued goes on */
    assert_write(queued, CWS_OK);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

/* --- the command ends while writes are under way: each of them ends, too --- */

enum how { BY_EXIT, BY_ERROR_FRAME, BY_STATUS, BY_LOSS, BY_CANCEL, BY_SANDBOX, HOWS };

static bool is_lost(enum how how)
{
    return how == BY_STATUS || how == BY_LOSS;
}

static void end_command(struct exec_bed *bed, struct cws_exec *exec, struct remote *remote,
                        enum how how)
{
    if (how == BY_EXIT)
        remote_end(remote, 0);
    else if (how == BY_ERROR_FRAME)
        remote_error(remote, "x", "X");
    else if (how == BY_STATUS)
        remote_finish(remote, CWS_GRPC_INTERNAL, "x");
    else if (how == BY_LOSS)
        cws_server_free(bed->client.server);
    else if (how == BY_CANCEL)
        assert_true(cws_exec_cancel(exec));
    else
        assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    if (how == BY_LOSS)
        bed->client.server = NULL;
    exec_wait(bed, exec);
}

/* Notes whether the command's end can be asked for at the moment that the write's end is told. */
struct watcher {
    struct cws_observer observer;
    struct cws_exec *exec;
    bool knows_the_end;
};

static void on_write_done(struct cws_observer *observer)
{
    struct watcher *watcher = cws_container_of(observer, struct watcher, observer);
    watcher->knows_the_end = cws_future_is_done(&watcher->exec->future);
}

static void test_writes_before_ready(void **state)
{
    struct exec_bed *bed = *state;
    for (enum how how = 0; how < HOWS; how++) {
        exec_bed_open(bed);
        struct cws_exec *exec = exec_start(bed, true, -1);
        struct cws_write *write = exec_write(exec, 0, 100), *end = close_input(exec);
        end_command(bed, exec, wait_remote(bed, 0), how);
        WAIT_FOR(bed->client.loop, write_is_done(write) && write_is_done(end));
        assert_write(write, CWS_CLOSED);
        /* the input is over, as was wished; unless nobody knows what became of it */
        assert_write(end, is_lost(how) ? CWS_CLOSED : CWS_OK);
        cws_exec_unref(exec);
        exec_bed_close(bed);
    }
}

static void test_writes_under_back_pressure(void **state)
{
    struct exec_bed *bed = *state;
    for (enum how how = 0; how < HOWS; how++) {
        exec_bed_open(bed);
        struct cws_exec *exec = exec_start(bed, true, -1);
        struct remote *remote = wait_remote(bed, 0);
        remote_ready(remote);
        struct cws_write *write = exec_write(exec, 0, 1 << 20);
        struct cws_write *second = exec_write(exec, 1 << 20, 100);
        struct cws_write *end = close_input(exec);
        WAIT_FOR(bed->client.loop, remote->input > 100000);
        struct watcher watcher = {.observer.notify = on_write_done, .exec = exec};
        assert_true(cws_future_observe(&write->future, &watcher.observer));
        end_command(bed, exec, remote, how);
        WAIT_FOR(bed->client.loop,
                 write_is_done(write) && write_is_done(second) && write_is_done(end));
        assert_true(watcher.knows_the_end);
        assert_write(write, CWS_CLOSED);
        assert_write(second, CWS_CLOSED);
        assert_write(end, is_lost(how) ? CWS_CLOSED : CWS_OK);
        assert_int_equal(try_write(exec), CWS_CANCELLED);
        assert_write(close_input(exec), CWS_OK); /* it was closed before: told once is enough */
        cws_exec_unref(exec);
        exec_bed_close(bed);
    }
}

/* The exit has come, the stream does not end, and a write is stuck in it. */
static void test_a_stuck_write_ends_with_the_stream(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct remote *remote = wait_remote(bed, 0);
    remote_ready(remote);
    struct cws_write *write = exec_write(exec, 0, 1 << 20);
    WAIT_FOR(bed->client.loop, remote->input > 100000);
    remote_exit(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    assert_int_equal(cws_timer_set(bed->client.loop, &exec->loop_only.timer, 0),
                     CWS_OK); /* the stream's time is up */
    WAIT_FOR(bed->client.loop, write_is_done(write));
    assert_write(write, CWS_CLOSED);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_a_write_outlives_its_command(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    struct cws_write *write = exec_write(exec, 0, 10);
    cws_write_ref(write);
    cws_write_unref(write);
    cws_exec_cancel(exec);
    cws_exec_unref(exec);
    WAIT_FOR(bed->client.loop, write_is_done(write));
    assert_write(write, CWS_CLOSED);
    cws_write_unref(NULL);
    exec_bed_close(bed);
}

/* --- memory and threads --- */

static void test_writes_without_memory(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_start(bed, true, -1);
    uint8_t *bytes = test_calloc(1, 3 * CWS_EXEC_STDIN_MAX);
    struct cws_write *write = NULL;
    for (size_t n = 1; n <= 4; n++) { /* the write and each of its messages */
        cws_alloc_fail_at(n);
        assert_int_equal(cws_input_write(&exec->input, bytes, 3 * CWS_EXEC_STDIN_MAX, &write),
                         CWS_NO_MEMORY);
    }
    for (size_t n = 1; n <= 2; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(cws_input_close(&exec->input, &write), CWS_NO_MEMORY);
    }
    assert_null(write);
    assert_false(cws_input_is_closed(&exec->input));
    test_free(bytes);
    cws_exec_cancel(exec);
    exec_wait(bed, exec);
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

struct writer {
    pthread_t thread;
    struct cws_exec *exec;
    unsigned done;
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    for (int i = 0; i < 300; i++) {
        uint8_t bytes[2000] = {0}; /* all the same: the order of threads is not fixed */
        struct cws_write *write = NULL;
        assert_int_equal(cws_input_write(&writer->exec->input, bytes, sizeof(bytes), &write),
                         CWS_OK);
        if (i % 3 == 0)
            while (!write_is_done(write))
                ;
        cws_write_unref(write);
        writer->done++;
    }
    return NULL;
}

static void consume_and_end(struct remote *remote, char event)
{
    if (event == 'b')
        remote_ready(remote);
    if (event == 'i' && !remote->closed_input)
        cws_server_call_consume(remote->call, 2000);
    if (event == 'h')
        remote_end(remote, remote->input == 3 * 300 * 2000 ? 0 : 1);
}

static void test_writers_on_many_threads(void **state)
{
    struct exec_bed *bed = *state;
    struct writer writers[3];
    struct cws_error err = {0};
    exec_bed_open(bed);
    bed->hook = consume_and_end;
    assert_int_equal(cws_loop_start(bed->client.loop, &err),
                     CWS_OK); /* server and client in its thread */
    struct cws_exec *exec = exec_start(bed, true, 60);
    for (int i = 0; i < 3; i++) {
        writers[i] = (struct writer){.exec = exec};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(writers[i].thread, NULL);
    struct cws_write *end = close_input(exec);
    while (!cws_future_is_done(&exec->future) || !write_is_done(end))
        ;
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    assert_int_equal(exec->exit_code, 0); /* all of it had come */
    cws_write_unref(end);
    cws_exec_unref(exec);
    client_bed_stop_thread(&bed->client);
    exec_bed_close(bed);
}

#define STDIN_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STDIN_TEST(test_nothing_is_sent_before_ready),
        STDIN_TEST(test_ready_does_not_come_in_time),
        STDIN_TEST(test_the_gate_is_over_with_the_time_limit),
        STDIN_TEST(test_no_gate_without_input),
        STDIN_TEST(test_large_writes_are_cut),
        STDIN_TEST(test_back_pressure),
        STDIN_TEST(test_after_the_close_nothing_is_taken),
        STDIN_TEST(test_after_the_end_nothing_is_taken),
        STDIN_TEST(test_after_a_loss_closing_fails_too),
        STDIN_TEST(test_set_failed_refuses_further_writes),
        STDIN_TEST(test_writes_before_ready),
        STDIN_TEST(test_writes_under_back_pressure),
        STDIN_TEST(test_a_stuck_write_ends_with_the_stream),
        STDIN_TEST(test_a_write_outlives_its_command),
        STDIN_TEST(test_writes_without_memory),
        STDIN_TEST(test_writers_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
