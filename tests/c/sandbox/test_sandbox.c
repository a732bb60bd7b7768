/* sandbox/sandbox: commands wait for it, go with it, and count. */
#include "support/exec_peer.h"

#include <pthread.h>

static struct cws_exec *exec_named(struct exec_bed *bed, const char *name)
{
    char copy[32];
    snprintf(copy, sizeof(copy), "%s", name);
    char *argv[] = {copy};
    const struct cws_exec_options options = {
        .argv = argv, .argc = 1, .container = "side", .timeout_s = -1};
    struct cws_exec *exec = NULL;
    assert_int_equal(cws_exec_start(bed->sandbox, &options, &exec), CWS_OK);
    memset(copy, 'x', sizeof(copy)); /* the options were copied */
    return exec;
}

static void assert_ended(struct exec_bed *bed, struct cws_exec *exec, enum cws_exec_end end)
{
    exec_wait(bed, exec);
    assert_int_equal(exec->end, end);
    cws_exec_unref(exec);
}

static void test_commands_wait_for_it(void **state)
{
    struct exec_bed *bed = *state;
    static const char *const names[] = {"a", "b", "c"};
    struct cws_exec *execs[4];
    exec_bed_init(bed);
    for (size_t i = 0; i < 3; i++)
        execs[i] = exec_named(bed, names[i]);
    settle(bed->client.loop);
    assert_int_equal(bed->client.accepted, 0); /* not even a connection */
    exec_bed_open_sandbox(bed);
    execs[3] = exec_named(bed, "d");
    for (size_t i = 0; i < 4; i++) {
        char argv[3] = {(char)('a' + i), '|', 0};
        struct remote *remote = wait_remote(bed, i);
        assert_string_equal(remote->argv, argv); /* in the order of their start */
        assert_string_equal(remote->id, SANDBOX_ID);
        assert_string_equal(remote->container, "side");
        remote_end(remote, 0);
        assert_ended(bed, execs[i], CWS_EXEC_EXITED);
    }
    assert_int_equal(atomic_load(&bed->sandbox->exec_count), 4);
    assert_int_equal(atomic_load(&bed->sandbox->completed_ok), 4);
    exec_bed_close(bed);
}

static void test_it_could_not_be_started(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_init(bed);
    struct cws_exec *a = exec_named(bed, "a"), *b = exec_named(bed, "b");
    assert_int_equal(cws_sandbox_fail(bed->sandbox), CWS_OK);
    struct cws_exec *later = exec_named(bed, "later"); /* waits for the next try */
    assert_ended(bed, a, CWS_EXEC_NOT_OPEN);
    assert_ended(bed, b, CWS_EXEC_NOT_OPEN);
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&later->future));
    exec_bed_open_sandbox(bed);
    remote_end(wait_remote(bed, 0), 0);
    assert_ended(bed, later, CWS_EXEC_EXITED);
    assert_int_equal(atomic_load(&bed->sandbox->failures), 2);
    exec_bed_close(bed);
}

static void test_failing_an_open_one_leaves_what_runs(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_named(bed, "a");
    struct remote *remote = wait_remote(bed, 0);
    assert_int_equal(cws_sandbox_fail(bed->sandbox), CWS_OK);
    struct cws_exec *later = exec_named(bed, "later");
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&exec->future));
    assert_false(cws_future_is_done(&later->future));
    remote_end(remote, 0);
    assert_ended(bed, exec, CWS_EXEC_EXITED);
    assert_ptr_equal(bed->remotes.next, bed->remotes.prev); /* the later one was not sent */
    exec_bed_open_sandbox(bed);
    remote_end(wait_remote(bed, 1), 0);
    assert_ended(bed, later, CWS_EXEC_EXITED);
    exec_bed_close(bed);
}

static void test_it_is_stopped(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *a = exec_named(bed, "a"), *b = exec_named(bed, "b");
    struct remote *remote = wait_remote(bed, 0);
    remote_output(remote, false, "some");
    WAIT_FOR(bed->client.loop, cws_output_size(&a->out));
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    struct cws_exec *later = exec_named(bed, "later");
    exec_wait(bed, a);
    assert_output(&a->out, "some");
    assert_ended(bed, a, CWS_EXEC_CLOSED);
    assert_ended(bed, b, CWS_EXEC_CLOSED);
    assert_ended(bed, later, CWS_EXEC_CLOSED);
    WAIT_FOR(bed->client.loop, remote->gone);
    assert_int_equal(remote->why, CWS_GRPC_CANCELLED);
    exec_bed_open_sandbox(bed); /* a closed one stays closed */
    assert_ended(bed, exec_named(bed, "later"), CWS_EXEC_CLOSED);
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK); /* again: harmless */
    settle(bed->client.loop);
    assert_int_equal(atomic_load(&bed->sandbox->failures), 4);
    exec_bed_close(bed);
}

static void test_stopped_before_it_runs(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_init(bed);
    struct cws_exec *exec = exec_named(bed, "a");
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    assert_ended(bed, exec, CWS_EXEC_CLOSED);
    assert_int_equal(bed->client.accepted, 0);
    exec_bed_close(bed);
}

static void test_cancelled_while_it_waits(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_init(bed);
    struct cws_exec *a = exec_named(bed, "a"), *b = exec_named(bed, "b");
    settle(bed->client.loop);
    assert_true(cws_exec_cancel(a));
    assert_ended(bed, a, CWS_EXEC_CANCELLED);
    exec_bed_open_sandbox(bed);
    struct remote *remote = wait_remote(bed, 0);
    assert_string_equal(remote->argv, "b|");
    remote_end(remote, 0);
    assert_ended(bed, b, CWS_EXEC_EXITED);
    exec_bed_close(bed);
}

static void test_opened_again_under_another_id(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *a = exec_named(bed, "a");
    struct remote *first = wait_remote(bed, 0);
    char id[] = "sb-2";
    assert_int_equal(cws_sandbox_open(bed->sandbox, bed->client.channel, id), CWS_OK);
    id[3] = 'x'; /* it was copied */
    struct cws_exec *b = exec_named(bed, "b");
    struct remote *second = wait_remote(bed, 1);
    assert_string_equal(first->id, SANDBOX_ID);
    assert_string_equal(second->id, "sb-2");
    remote_end(first, 0);
    remote_end(second, 0);
    assert_ended(bed, a, CWS_EXEC_EXITED);
    assert_ended(bed, b, CWS_EXEC_EXITED);
    exec_bed_close(bed);
}

static void test_a_command_outlives_the_handle(void **state)
{
    struct exec_bed *bed = *state;
    exec_bed_open(bed);
    struct cws_exec *exec = exec_named(bed, "a");
    cws_sandbox_ref(bed->sandbox);
    cws_sandbox_unref(bed->sandbox);
    cws_sandbox_unref(bed->sandbox); /* the handle's; the command has one of its own */
    remote_end(wait_remote(bed, 0), 0);
    assert_ended(bed, exec, CWS_EXEC_EXITED);
    cws_sandbox_unref(NULL);
    bed->sandbox = NULL;
    exec_bed_close(bed);
}

static void test_without_memory(void **state)
{
    struct exec_bed *bed = *state;
    struct cws_sandbox *none;
    exec_bed_init(bed);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_sandbox_new(bed->client.loop, &none), CWS_NO_MEMORY);
    for (size_t n = 1; n <= 2; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(cws_sandbox_open(bed->sandbox, bed->client.channel, "id"), CWS_NO_MEMORY);
    }
    cws_alloc_fail_at(1);
    assert_int_equal(cws_sandbox_fail(bed->sandbox), CWS_NO_MEMORY);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_NO_MEMORY);
    exec_bed_close(bed);
}

/* --- threads --- */

struct starter {
    pthread_t thread;
    struct exec_bed *bed;
    unsigned exited, closed;
};

static void *start_many(void *arg)
{
    struct starter *starter = arg;
    for (int i = 0; i < 100; i++) {
        struct cws_exec *exec = exec_named(starter->bed, "x");
        while (!cws_future_is_done(&exec->future))
            ;
        starter->exited += exec->end == CWS_EXEC_EXITED;
        starter->closed += exec->end == CWS_EXEC_CLOSED;
        cws_exec_unref(exec);
    }
    return NULL;
}

static void end_at_once(struct remote *remote, char event)
{
    if (event == 'b')
        remote_end(remote, 0);
}

static void test_opened_and_stopped_while_threads_start_commands(void **state)
{
    struct exec_bed *bed = *state;
    struct starter starters[3];
    struct cws_error err = {0};
    exec_bed_init(bed);
    bed->hook = end_at_once;
    assert_int_equal(cws_loop_start(bed->client.loop, &err),
                     CWS_OK); /* server and client in its thread */
    for (int i = 0; i < 3; i++) {
        starters[i] = (struct starter){.bed = bed};
        assert_int_equal(pthread_create(&starters[i].thread, NULL, start_many, &starters[i]), 0);
    }
    exec_bed_open_sandbox(bed);
    while (atomic_load(&bed->sandbox->completed_ok) < 50)
        ;
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    for (int i = 0; i < 3; i++) {
        pthread_join(starters[i].thread, NULL);
        assert_int_equal(starters[i].exited + starters[i].closed, 100);
    }
    assert_int_equal(atomic_load(&bed->sandbox->exec_count), 300);
    client_bed_stop_thread(&bed->client);
    exec_bed_close(bed);
}

#define SANDBOX_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SANDBOX_TEST(test_commands_wait_for_it),
        SANDBOX_TEST(test_it_could_not_be_started),
        SANDBOX_TEST(test_failing_an_open_one_leaves_what_runs),
        SANDBOX_TEST(test_it_is_stopped),
        SANDBOX_TEST(test_stopped_before_it_runs),
        SANDBOX_TEST(test_cancelled_while_it_waits),
        SANDBOX_TEST(test_opened_again_under_another_id),
        SANDBOX_TEST(test_a_command_outlives_the_handle),
        SANDBOX_TEST(test_without_memory),
        SANDBOX_TEST(test_opened_and_stopped_while_threads_start_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
