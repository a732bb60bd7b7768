/* sandbox/exec_flow: how much of a command's output is kept, and when it is held back. */
#include "support/exec_peer.h"

#include <semaphore.h>

enum {
    MESSAGE = 32 * 1024,
    WINDOW = 1024 * 1024,
    MUCH = 8 * WINDOW,
};

/* Lines of 64 bytes. */
static void remote_lines(struct remote *remote, bool is_stderr, size_t len)
{
    uint8_t bytes[MESSAGE];
    for (size_t i = 0; i < MESSAGE; i++)
        bytes[i] = i % 64 == 63 ? '\n' : 'x';
    for (size_t at = 0; at < len; at += MESSAGE)
        remote_bytes(remote, is_stderr, bytes, MESSAGE);
}

static struct cws_exec *start(struct exec_bed *bed, enum cws_output_kept kept)
{
    return exec_start_with(bed, (struct cws_exec_options){.timeout_s = -1, .kept = kept});
}

/* A bed with one command; *out_remote is its end on the server. */
static struct cws_exec *begin(struct exec_bed *bed, enum cws_output_kept kept,
                              struct remote **out_remote)
{
    exec_bed_open(bed);
    struct cws_exec *exec = start(bed, kept);
    *out_remote = wait_remote(bed, 0);
    return exec;
}

/* Waits for the end, which the server has been told to send, and closes the bed. */
static void finish(struct exec_bed *bed, struct cws_exec *exec)
{
    exec_wait(bed, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_let_go(exec);
    exec_bed_close(bed);
}

/* Lines there are, up to `most` bytes of them. */
static size_t take(struct cws_output *output, size_t most)
{
    struct cws_output_line line;
    size_t taken = 0;
    while (taken < most &&
           cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL) == CWS_OUTPUT_TAKEN)
        taken += line.len + line.rest;
    return taken;
}

static bool is_held_back(const struct remote *remote)
{
    return cws_server_call_pending(remote->call) > 0;
}

static void never(struct cws_observer *observer)
{
    (void)observer;
}

static void test_a_reader_that_sleeps_holds_the_command_back(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_UNREAD, &remote);
    cws_output_attach(&exec->out);
    cws_output_attach(&exec->err);
    remote_lines(remote, false, MUCH / 2);
    remote_lines(remote, true, MUCH / 2);
    remote_end(remote, 0);
    WAIT_FOR(bed->client.loop, exec->out.synced.size > WINDOW - 2 * MESSAGE);
    settle(bed->client.loop);
    assert_true(exec->out.synced.size <= WINDOW);
    assert_true(is_held_back(remote));
    size_t out = 0, err = 0, most = 0;
    while (out + err < MUCH) { /* a step at a time: what is held never comes to more */
        out += take(&exec->out, 4 * CWS_OUTPUT_REPORT);
        err += take(&exec->err, 4 * CWS_OUTPUT_REPORT);
        size_t held = cws_output_held(&exec->out) + cws_output_held(&exec->err);
        most = held > most ? held : most;
        pump(bed->client.loop);
    }
    assert_true(most <= WINDOW);
    exec_wait(bed, exec);
    assert_int_equal(out, MUCH / 2);
    assert_int_equal(err, MUCH / 2);
    finish(bed, exec);
}

/* Nobody waits for what cannot come: the other stream has no reader. */
static void test_a_stream_without_a_reader_does_not_hold_back_the_other(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_UNREAD, &remote);
    remote_lines(remote, true, MUCH);
    remote_output(remote, false, "done\n");
    WAIT_FOR(bed->client.loop, exec->err.synced.size > WINDOW - 2 * MESSAGE);
    settle(bed->client.loop);
    assert_true(is_held_back(remote)); /* nobody waits yet: both may still be read */
    assert_int_equal(cws_output_held(&exec->err), exec->err.synced.size);
    struct cws_observer observer = {.notify = never};
    struct cws_output_line line;
    cws_list_init(&observer.node);
    cws_output_attach(&exec->out);
    assert_int_equal(cws_output_take(&exec->out, CWS_OUTPUT_LINE, &line, &observer),
                     CWS_OUTPUT_EMPTY);
    WAIT_FOR(bed->client.loop, cws_list_is_empty(&observer.node));
    assert_int_equal(cws_output_take(&exec->out, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
    assert_true(cws_output_held(&exec->err) <= CWS_EXEC_UNREAD_MAX);
    cws_output_attach(&exec->err);
    assert_int_equal(cws_output_take(&exec->err, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_GAP);
    assert_int_equal(line.len + take(&exec->err, MUCH), MUCH);
    remote_end(remote, 0);
    finish(bed, exec);
}

static void test_who_waits_for_the_end_does_not_wait_for_readers(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_UNREAD, &remote);
    remote_lines(remote, false, MUCH);
    remote_lines(remote, true, MUCH);
    remote_end(remote, 0);
    WAIT_FOR(bed->client.loop, exec->out.synced.size > WINDOW - 2 * MESSAGE);
    struct cws_observer observer = {.notify = never};
    assert_true(cws_future_observe(&exec->future, &observer));
    exec_wait(bed, exec);
    assert_true(cws_output_held(&exec->out) <= CWS_EXEC_UNREAD_MAX);
    size_t in_front;
    assert_int_equal(cws_output_omitted(&exec->out, &in_front), MUCH);
    finish(bed, exec);
}

/* A reader that is gone holds nothing back. */
static void test_a_reader_that_leaves(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_UNREAD, &remote);
    cws_output_attach(&exec->out);
    struct cws_observer observer = {.notify = never};
    assert_true(cws_future_observe(&exec->future, &observer));
    remote_lines(remote, false, MUCH);
    remote_end(remote, 0);
    WAIT_FOR(bed->client.loop, exec->out.synced.size > WINDOW - 2 * MESSAGE);
    settle(bed->client.loop);
    assert_true(is_held_back(remote));
    cws_output_detach(&exec->out);
    finish(bed, exec);
}

static void test_closed_streams_are_discarded(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_UNREAD, &remote);
    cws_output_attach(&exec->out);
    cws_output_attach(&exec->err);
    remote_lines(remote, true, MUCH);
    remote_output(remote, false, "done\n");
    WAIT_FOR(bed->client.loop, exec->err.synced.size > WINDOW - 2 * MESSAGE);
    cws_exec_close_output(exec, &exec->err);
    WAIT_FOR(bed->client.loop, exec->out.synced.size > 0);
    assert_int_equal(exec->err.synced.head_len, 0);
    remote_end(remote, 0);
    finish(bed, exec);
}

/* Its handle was dropped: nothing is kept of what comes, nor of what has come. */
static void test_what_nobody_can_ask_for_is_discarded(void **state)
{
    struct exec_bed *bed = *state;
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_UNREAD};
    exec_bed_open(bed);
    for (size_t i = 0; i < CWS_ARRAY_LEN(kepts); i++) {
        struct cws_exec *exec = start(bed, kepts[i]);
        struct remote *remote = wait_remote(bed, i);
        remote_lines(remote, false, WINDOW / 2);
        WAIT_FOR(bed->client.loop, exec->out.synced.size == WINDOW / 2);
        assert_true(cws_exec_keep(exec)); /* a result's, which is dropped later */
        cws_exec_let_go(exec);
        settle(bed->client.loop);
        assert_int_equal(exec->out.synced.head_len, WINDOW / 2);
        cws_exec_ref(exec); /* this test's, to look at it */
        cws_exec_let_go(exec);
        assert_false(cws_exec_keep(exec)); /* what it would keep is being freed */
        remote_lines(remote, false, MUCH);
        remote_lines(remote, true, MUCH);
        WAIT_FOR(bed->client.loop, exec->err.synced.size == MUCH);
        assert_int_equal(exec->out.synced.size, MUCH + WINDOW / 2);
        assert_int_equal(exec->out.synced.head_len + exec->err.synced.head_len, 0);
        remote_end(remote, 0);
        exec_wait(bed, exec);
        assert_int_equal(exec->end, CWS_EXEC_EXITED);
        cws_exec_unref(exec);
    }
    exec_bed_close(bed);
}

/* … and of what has ended, though somebody still refers to the command, as a write does. */
static void test_what_nobody_can_ask_for_after_the_end_is_freed(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_ALL, &remote);
    remote_lines(remote, false, MUCH);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    assert_int_equal(exec->out.synced.head_len, MUCH);
    cws_exec_ref(exec);
    cws_exec_let_go(exec);
    assert_int_equal(exec->out.synced.head_len, 0);
    assert_int_equal(cws_output_received(&exec->out), MUCH);
    assert_false(cws_exec_keep(exec));
    cws_exec_unref(exec);
    exec_bed_close(bed);
}

static void test_with_both_readers_closed_the_ends_are_kept(void **state)
{
    struct exec_bed *bed = *state;
    struct remote *remote;
    struct cws_exec *exec = begin(bed, CWS_OUTPUT_ALL, &remote);
    remote_lines(remote, false, MUCH);
    cws_exec_close_output(exec, &exec->out);
    WAIT_FOR(bed->client.loop, exec->out.synced.size == MUCH);
    assert_int_equal(cws_output_size(&exec->out), MUCH); /* one of them: all is kept */
    cws_exec_close_output(exec, &exec->err);
    settle(bed->client.loop);
    remote_lines(remote, false, 3 * MUCH);
    remote_lines(remote, true, 2 * MUCH);
    remote_end(remote, 0);
    exec_wait(bed, exec);
    size_t in_front;
    assert_int_equal(cws_output_size(&exec->out), MUCH + CWS_EXEC_CLOSED_MAX / 2);
    assert_int_equal(cws_output_omitted(&exec->out, &in_front), 3 * MUCH - CWS_EXEC_CLOSED_MAX / 2);
    assert_int_equal(cws_output_size(&exec->err), CWS_EXEC_CLOSED_MAX);
    finish(bed, exec);
}

/* --- readers beside the loop's thread --- */

enum { SOME = 3 * WINDOW };

static void send_some(struct remote *remote, char event)
{
    if (event != 'b')
        return;
    remote_lines(remote, true, SOME);
    remote_lines(remote, false, SOME);
    remote_end(remote, 0);
}

struct sleeper {
    struct cws_observer observer;
    sem_t woken;
};

static void wake(struct cws_observer *observer)
{
    sem_post(&cws_container_of(observer, struct sleeper, observer)->woken);
}

static void sleeper_init(struct sleeper *sleeper)
{
    *sleeper = (struct sleeper){.observer.notify = wake};
    cws_list_init(&sleeper->observer.node);
    sem_init(&sleeper->woken, 0, 0);
}

/* Bytes that were taken or told to be missing, up to about `most`. */
static size_t read_up_to(struct cws_output *output, size_t most)
{
    struct sleeper sleeper;
    size_t read = 0;
    sleeper_init(&sleeper);
    cws_output_attach(output);
    while (read < most) {
        struct cws_output_line line;
        enum cws_output_next next =
            cws_output_take(output, CWS_OUTPUT_LINE, &line, &sleeper.observer);
        if (next == CWS_OUTPUT_END)
            break;
        if (next == CWS_OUTPUT_EMPTY) {
            sem_wait(&sleeper.woken);
            cws_waiters_remove(&output->waiters, &sleeper.observer);
        } else {
            read += line.len + line.rest;
        }
    }
    cws_output_detach(output);
    sem_destroy(&sleeper.woken);
    return read;
}

static void wait_for_end(struct cws_exec *exec)
{
    struct sleeper sleeper;
    sleeper_init(&sleeper);
    if (cws_future_observe(&exec->future, &sleeper.observer)) {
        sem_wait(&sleeper.woken);
        cws_waiters_remove(&exec->future.waiters, &sleeper.observer);
    }
    sem_destroy(&sleeper.woken);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
}

static void *use_in_each_way(void *arg)
{
    struct exec_bed *bed = arg;
    for (int i = 0; i < 12; i++) {
        struct cws_exec *exec = start(bed, i % 6 == 5 ? CWS_OUTPUT_ALL : CWS_OUTPUT_UNREAD);
        switch (i % 6) {
        case 0: /* one stream, then what is left of the other */
            assert_int_equal(read_up_to(&exec->out, SIZE_MAX), SOME);
            assert_int_equal(read_up_to(&exec->err, SIZE_MAX), SOME);
            break;
        case 1:
            wait_for_end(exec);
            break;
        case 2: /* a part, then the end */
            assert_true(read_up_to(&exec->out, SOME / 2) >= SOME / 2);
            wait_for_end(exec);
            assert_true(read_up_to(&exec->out, SIZE_MAX) <= SOME / 2);
            break;
        case 3: /* one stream without the other */
            cws_exec_close_output(exec, &exec->err);
            assert_int_equal(read_up_to(&exec->out, SIZE_MAX), SOME);
            break;
        case 4:
        case 5: /* the handle is dropped amid it all */
            read_up_to(&exec->out, WINDOW / 2);
            cws_exec_ref(exec);
            cws_exec_let_go(exec);
            wait_for_end(exec);
            cws_exec_unref(exec);
            continue;
        }
        wait_for_end(exec);
        cws_exec_let_go(exec);
    }
    return NULL;
}

static void test_readers_on_many_threads(void **state)
{
    struct exec_bed *bed = *state;
    pthread_t users[3];
    struct cws_error err = {0};
    exec_bed_open(bed);
    bed->hook = send_some;
    assert_int_equal(cws_loop_start(bed->client.loop, &err), CWS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&users[i], NULL, use_in_each_way, bed), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(users[i], NULL);
    client_bed_stop_thread(&bed->client);
    exec_bed_close(bed);
}

#define EXEC_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EXEC_TEST(test_a_reader_that_sleeps_holds_the_command_back),
        EXEC_TEST(test_a_stream_without_a_reader_does_not_hold_back_the_other),
        EXEC_TEST(test_who_waits_for_the_end_does_not_wait_for_readers),
        EXEC_TEST(test_a_reader_that_leaves),
        EXEC_TEST(test_closed_streams_are_discarded),
        EXEC_TEST(test_what_nobody_can_ask_for_is_discarded),
        EXEC_TEST(test_what_nobody_can_ask_for_after_the_end_is_freed),
        EXEC_TEST(test_with_both_readers_closed_the_ends_are_kept),
        EXEC_TEST(test_readers_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
