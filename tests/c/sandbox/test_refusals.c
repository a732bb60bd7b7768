/* sandbox/refusals, sandbox/sandbox: commands that a strict direct way has refused. */
#include "proto/generated/error_details.pb-c.h"
#include "proto/generated/status.pb-c.h"
#include "support/exec_peer.h"

#define ALL (1u << CWS_DATA_STREAM_EXEC)
#define FAR CWS_NO_DEADLINE

static const struct cws_server_method methods[] = {
    {CWS_DIRECT_PATH "StreamExec", remote_start, remote_message, remote_half_closed, NULL,
     remote_closed, true, NULL},
};

struct bed {
    struct exec_bed exec;
    struct cws_queue *refusals;
    struct cws_channel *first, *second; /* lead to the same peer */
};

static struct cws_loop *loop_of(struct bed *bed)
{
    return bed->exec.client.loop;
}

static struct cws_channel *channel_to(struct bed *bed, unsigned max_connections)
{
    struct cws_channel *channel = NULL;
    struct cws_error err = {0};
    const struct cws_channel_options options = {.url = bed->exec.client.url,
                                                .max_connections = max_connections};
    if (cws_channel_new(loop_of(bed), &options, &channel, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return channel;
}

static void set_direct(struct bed *bed, struct cws_channel *channel, unsigned permissions)
{
    const struct cws_direct direct = {channel, permissions, FAR, true};
    assert_int_equal(cws_sandbox_set_direct(bed->exec.sandbox, &direct), CWS_OK);
}

static void bed_open(struct bed *bed)
{
    const struct cws_server_options options = {.methods = methods,
                                               .method_count = CWS_ARRAY_LEN(methods)};
    exec_bed_init_with(&bed->exec, &options, (struct cws_channel_options){0});
    bed->refusals = cws_queue_new();
    assert_non_null(bed->refusals);
    cws_queue_ref(bed->refusals);
    bed->exec.sandbox->refusals = bed->refusals;
    bed->first = channel_to(bed, 3);
    bed->second = channel_to(bed, 4);
    set_direct(bed, bed->first, ALL);
    exec_bed_open_sandbox(&bed->exec);
}

static void bed_close(struct bed *bed)
{
    cws_channel_unref(bed->first);
    cws_channel_unref(bed->second);
    cws_queue_unref(bed->refusals);
    exec_bed_close(&bed->exec); /* counts what is left */
}

/* As an endpoint whose sandbox is elsewhere. */
static void refuse(struct remote *remote)
{
    static char type[] = "type.googleapis.com/google.rpc.ErrorInfo";
    uint8_t packed[128], bytes[256];
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT, *details = &any;
    info.domain = (char *)(uintptr_t)"cwsandbox.com";
    info.reason = (char *)(uintptr_t)"CWSANDBOX_RUNNER_SHARD_RETIRING";
    any.type_url = type;
    any.value.len = protobuf_c_message_pack(&info.base, packed);
    any.value.data = packed;
    status.n_details = 1;
    status.details = &details;
    size_t len = protobuf_c_message_pack(&status.base, bytes);
    cws_server_call_finish(remote->call, CWS_GRPC_UNAVAILABLE, "moved", bytes, len);
}

static bool waits(struct bed *bed)
{
    return !cws_list_is_empty(&bed->exec.sandbox->loop_only.refused.calls);
}

/* The n-th command, which waits from now on. */
static struct cws_exec *start_refused(struct bed *bed, size_t n, double timeout_s)
{
    struct cws_exec *exec = exec_start(&bed->exec, false, timeout_s);
    refuse(wait_remote(&bed->exec, n));
    WAIT_FOR(loop_of(bed), waits(bed));
    assert_int_equal(exec->end, CWS_EXEC_RUNNING);
    return exec;
}

/* The sandbox is there, once. */
static void assert_told(struct bed *bed)
{
    struct cws_sandbox *sandbox = cws_sandbox_pop_refusal(bed->refusals, NULL);
    assert_ptr_equal(sandbox, bed->exec.sandbox);
    assert_null(cws_sandbox_pop_refusal(bed->refusals, NULL));
    cws_sandbox_unref(sandbox);
}

static void assert_refused(struct bed *bed, struct cws_exec *exec)
{
    exec_wait(&bed->exec, exec);
    assert_int_equal(exec->end, CWS_EXEC_STATUS);
    assert_int_equal(exec->status.code, CWS_GRPC_UNAVAILABLE);
    assert_string_equal(exec->status.message, "moved");
    assert_false(exec->status.local);
    assert_false(waits(bed));
    cws_exec_unref(exec);
}

static void assert_exits(struct bed *bed, size_t n, struct cws_exec *exec)
{
    remote_end(wait_remote(&bed->exec, n), 0);
    exec_wait(&bed->exec, exec);
    assert_int_equal(exec->end, CWS_EXEC_EXITED);
    cws_exec_unref(exec);
}

static void test_another_way(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_told(bed);
    set_direct(bed, bed->second, ALL);
    assert_exits(bed, 1, exec);
    bed_close(bed);
}

static void test_several_are_told_once(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *first = start_refused(bed, 0, -1), *second = start_refused(bed, 1, -1);
    assert_told(bed);
    set_direct(bed, bed->second, ALL);
    assert_exits(bed, 2, first);
    assert_exits(bed, 3, second);
    bed_close(bed);
}

static void test_the_other_way_is_there_before(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *exec = exec_start(&bed->exec, false, -1);
    struct remote *remote = wait_remote(&bed->exec, 0);
    set_direct(bed, bed->second, ALL);
    settle(loop_of(bed));
    refuse(remote);
    assert_exits(bed, 1, exec);
    assert_null(cws_sandbox_pop_refusal(bed->refusals, NULL));
    bed_close(bed);
}

static void test_the_other_way_does_not_permit_it(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_told(bed);
    set_direct(bed, bed->second, 0);
    settle(loop_of(bed));
    assert_true(waits(bed));
    exec_bed_open_sandbox(&bed->exec); /* it is known now what there is */
    assert_refused(bed, exec);
    bed_close(bed);
}

static void test_there_is_no_other_way(void **state)
{
    enum cws_status (*const ends[])(struct cws_sandbox *) = {cws_sandbox_fail,
                                                             cws_sandbox_end_refused};
    struct bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(ends); i++) {
        bed_open(bed);
        struct cws_exec *exec = start_refused(bed, 0, -1);
        assert_told(bed);
        assert_int_equal(ends[i](bed->exec.sandbox), CWS_OK);
        assert_refused(bed, exec);
        bed_close(bed);
    }
}

static void test_refused_there_too(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_told(bed);
    set_direct(bed, bed->second, ALL);
    refuse(wait_remote(&bed->exec, 1));
    assert_refused(bed, exec);
    assert_null(cws_sandbox_pop_refusal(bed->refusals, NULL));
    bed_close(bed);
}

static void test_the_end_of_the_sandbox(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_int_equal(cws_sandbox_close(bed->exec.sandbox), CWS_OK);
    exec_wait(&bed->exec, exec);
    assert_int_equal(exec->end, CWS_EXEC_CLOSED);
    cws_exec_unref(exec);
    assert_told(bed);
    bed_close(bed);
}

/* As its policy code has seen it: what runs elsewhere still has its end to come. */
static void test_the_sandbox_has_ended_by_itself(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *running = exec_start(&bed->exec, false, -1);
    struct remote *remote = wait_remote(&bed->exec, 0);
    struct cws_exec *first = start_refused(bed, 1, -1), *second = start_refused(bed, 2, -1);
    assert_int_equal(cws_sandbox_evict_refused(bed->exec.sandbox), CWS_OK);
    exec_wait(&bed->exec, first);
    exec_wait(&bed->exec, second);
    assert_int_equal(first->end, CWS_EXEC_CLOSED);
    assert_int_equal(second->end, CWS_EXEC_CLOSED);
    assert_int_equal(running->end, CWS_EXEC_RUNNING);
    assert_false(waits(bed));
    remote_end(remote, 0);
    exec_wait(&bed->exec, running);
    assert_int_equal(running->end, CWS_EXEC_EXITED);
    cws_exec_unref(first);
    cws_exec_unref(second);
    cws_exec_unref(running);
    assert_told(bed);
    bed_close(bed);
}

/* An endpoint that nobody can connect to has done nothing. */
static void test_there_is_no_connection(void **state)
{
    struct bed *bed = *state;
    const struct cws_channel_options options = {.url = "http://127.0.0.1:1"};
    for (int i = 0; i < 2; i++) {
        struct cws_channel *nowhere = NULL;
        struct cws_error err = {0};
        bed_open(bed);
        assert_int_equal(cws_channel_new(loop_of(bed), &options, &nowhere, &err), CWS_OK);
        set_direct(bed, nowhere, ALL);
        struct cws_exec *exec = exec_start(&bed->exec, false, -1);
        WAIT_FOR(loop_of(bed), waits(bed));
        assert_true(cws_channel_is_refused(nowhere));
        assert_told(bed);
        if (i == 0) {
            set_direct(bed, bed->second, ALL);
            assert_exits(bed, 0, exec);
        } else {
            assert_int_equal(cws_sandbox_end_refused(bed->exec.sandbox), CWS_OK);
            exec_wait(&bed->exec, exec);
            assert_int_equal(exec->status.code, CWS_GRPC_UNAVAILABLE);
            assert_non_null(strstr(exec->status.message, "127.0.0.1:1"));
            cws_exec_unref(exec);
        }
        cws_channel_unref(nowhere);
        bed_close(bed);
    }
}

static void test_cancelled_and_too_late(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    struct cws_exec *cancelled = start_refused(bed, 0, -1), *late = start_refused(bed, 1, 0.5);
    assert_true(cws_exec_cancel(cancelled));
    exec_wait(&bed->exec, cancelled);
    assert_int_equal(cancelled->end, CWS_EXEC_CANCELLED);
    exec_wait(&bed->exec, late);
    assert_int_equal(late->status.code, CWS_GRPC_DEADLINE_EXCEEDED);
    assert_false(waits(bed));
    set_direct(bed, bed->second, ALL);
    settle(loop_of(bed));
    cws_exec_unref(cancelled);
    cws_exec_unref(late);
    assert_told(bed);
    bed_close(bed);
}

static void *wait_for_one(void *arg)
{
    struct cws_queue *refusals = arg;
    struct cws_sandbox *sandbox;
    while (!(sandbox = cws_sandbox_pop_refusal(refusals, NULL)))
        usleep(1000);
    return sandbox;
}

static void test_taken_by_another_thread(void **state)
{
    struct bed *bed = *state;
    pthread_t thread;
    void *taken = NULL;
    bed_open(bed);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_one, bed->refusals), 0);
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_int_equal(pthread_join(thread, &taken), 0);
    assert_ptr_equal(taken, bed->exec.sandbox);
    cws_sandbox_unref(taken);
    set_direct(bed, bed->second, ALL);
    assert_exits(bed, 1, exec);
    bed_close(bed);
}

static unsigned notified;

static void on_notify(struct cws_observer *observer)
{
    (void)observer;
    notified++;
}

static void test_who_waits_is_notified(void **state)
{
    struct bed *bed = *state;
    struct cws_observer observer = {.notify = on_notify};
    notified = 0;
    bed_open(bed);
    assert_null(cws_sandbox_pop_refusal(bed->refusals, &observer));
    struct cws_exec *exec = start_refused(bed, 0, -1);
    assert_int_equal(notified, 1);
    assert_told(bed);
    assert_int_equal(cws_sandbox_end_refused(bed->exec.sandbox), CWS_OK);
    assert_refused(bed, exec);
    bed_close(bed);
}

static void test_nobody_is_told(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    cws_queue_unref(bed->exec.sandbox->refusals);
    bed->exec.sandbox->refusals = NULL;
    struct cws_exec *exec = exec_start(&bed->exec, false, -1);
    refuse(wait_remote(&bed->exec, 0));
    assert_refused(bed, exec);
    bed_close(bed);
}

static void test_no_memory(void **state)
{
    struct bed *bed = *state;
    bed_open(bed);
    settle(loop_of(bed));
    cws_alloc_fail_at(1);
    assert_null(cws_queue_new());
    struct cws_exec *exec = start_refused(bed, 0, -1);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_sandbox_end_refused(bed->exec.sandbox), CWS_NO_MEMORY);
    assert_true(waits(bed)); /* and could still be sent elsewhere */
    assert_told(bed);
    set_direct(bed, bed->second, ALL);
    assert_exits(bed, 1, exec);
    bed_close(bed);
}

int main(void)
{
#define TEST(name) TEST_WITH(struct bed, name)
    const struct CMUnitTest tests[] = {
        TEST(test_another_way),
        TEST(test_several_are_told_once),
        TEST(test_the_other_way_is_there_before),
        TEST(test_the_other_way_does_not_permit_it),
        TEST(test_there_is_no_other_way),
        TEST(test_refused_there_too),
        TEST(test_the_end_of_the_sandbox),
        TEST(test_the_sandbox_has_ended_by_itself),
        TEST(test_there_is_no_connection),
        TEST(test_cancelled_and_too_late),
        TEST(test_taken_by_another_thread),
        TEST(test_who_waits_is_notified),
        TEST(test_nobody_is_told),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
