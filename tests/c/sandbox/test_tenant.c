/*
 * sandbox/tenant: what lives in a sandbox need not be a command. The second kind here is the least
 * that follows a server-streaming call, side by side with commands; sandbox/log is the real one.
 */
#include "sandbox/tenant.h"

#include "support/exec_peer.h"

#define LOGS_PATH "/coreweave.sandbox.v1.SandboxService/StreamLogs"

/* ---- the server's side ---------------------------------------------------------------------- */

/* One follower as the server knows it. */
struct followed {
    struct cws_server_call *call; /* NULL once closed */
    char id[32];
    char container[32];
    enum cws_grpc_code why;
    bool gone;
};

static struct followed followed[8];
static size_t followed_count;
static char order[32]; /* the first letters of commands and containers, as their requests came */

static void note(char letter)
{
    size_t n = strlen(order);
    assert_true(n + 1 < sizeof(order));
    order[n] = letter;
    order[n + 1] = 0;
}

static void note_command(struct remote *remote, char event)
{
    if (event == 'b')
        note(remote->argv[0]);
}

static void follow_start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    assert_true(followed_count < 8);
    struct followed *one = &followed[followed_count++];
    *one = (struct followed){.call = call};
    cws_server_call_set_user(call, one);
}

static void follow_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct followed *one = cws_server_call_user(call);
    ProtobufCMessage *message;
    assert_int_equal(cws_proto_unpack(&coreweave__sandbox__v1__stream_logs_request__descriptor,
                                      data, len, &message),
                     CWS_OK);
    const Coreweave__Sandbox__V1__StreamLogsRequest *request = (const void *)message;
    snprintf(one->id, sizeof(one->id), "%s", request->sandbox_id);
    snprintf(one->container, sizeof(one->container), "%s", request->container);
    cws_proto_free(message);
    note(one->container[0]);
}

static void follow_half_closed(struct cws_server_call *call)
{
    (void)call;
}

static void follow_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    struct followed *one = cws_server_call_user(call);
    one->call = NULL;
    one->gone = true;
    one->why = why;
}

static const struct cws_server_method methods[] = {
    REMOTE_METHOD,
    {LOGS_PATH, follow_start, follow_message, follow_half_closed, NULL, follow_closed, false, NULL},
};

static void followed_send(struct followed *one, const char *text)
{
    Coreweave__Sandbox__V1__LogEntry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    entry.data.data = (uint8_t *)(uintptr_t)text;
    entry.data.len = strlen(text);
    struct cws_block *block =
        cws_server_message_new(coreweave__sandbox__v1__log_entry__get_packed_size(&entry));
    assert_non_null(block);
    coreweave__sandbox__v1__log_entry__pack(&entry, block->data + CWS_FRAME_PREFIX);
    cws_server_call_send(one->call, block);
}

/* ---- the client's side: the second kind of tenant ------------------------------------------- */

enum logs_end { LOGS_OPEN, LOGS_ENDED, LOGS_FAILED, LOGS_NOT_OPEN, LOGS_CLOSED };

struct logs {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_output output;
    struct cws_sandbox *sandbox; /* a reference */
    struct cws_tenant tenant;
    struct cws_task start_task;
    struct cws_call *call;
    char container[8];
    unsigned sent, evicted; /* calls of the tenant's functions */
    enum logs_end end;
};

static void logs_unref(struct logs *logs)
{
    if (!cws_ref_put(&logs->ref))
        return;
    cws_sandbox_unref(logs->sandbox);
    cws_output_done(&logs->output);
    cws_future_done(&logs->future);
    cws_free(logs);
}

static void logs_conclude(struct logs *logs, enum logs_end end)
{
    logs->end = end;
    cws_tenant_leave(&logs->tenant);
    cws_output_end(&logs->output);
    cws_future_complete(&logs->future);
    logs_unref(logs); /* the loop's */
}

static void logs_message(void *ctx, const uint8_t *data, size_t len)
{
    struct logs *logs = ctx;
    ProtobufCMessage *message;
    assert_int_equal(
        cws_proto_unpack(&coreweave__sandbox__v1__log_entry__descriptor, data, len, &message),
        CWS_OK);
    const Coreweave__Sandbox__V1__LogEntry *entry = (const void *)message;
    assert_int_equal(cws_output_append(&logs->output, entry->data.data, entry->data.len), CWS_OK);
    cws_proto_free(message);
}

static void logs_status(void *ctx, struct cws_grpc_status *status)
{
    struct logs *logs = ctx;
    logs->call = NULL;
    logs_conclude(logs, status->code == CWS_GRPC_OK ? LOGS_ENDED : LOGS_FAILED);
}

static const struct cws_call_events logs_events = {.on_message = logs_message,
                                                   .on_status = logs_status};

static void logs_send(struct cws_tenant *tenant)
{
    struct logs *logs = cws_container_of(tenant, struct logs, tenant);
    const struct cws_call_options options = {.path = LOGS_PATH, .deadline_ns = CWS_NO_DEADLINE};
    Coreweave__Sandbox__V1__StreamLogsRequest request =
        COREWEAVE__SANDBOX__V1__STREAM_LOGS_REQUEST__INIT;
    logs->sent++;
    request.sandbox_id = logs->sandbox->loop_only.id;
    request.container = logs->container;
    request.follow = true;
    size_t len = coreweave__sandbox__v1__stream_logs_request__get_packed_size(&request);
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    if (!block) { /* ends inside of the call */
        logs_conclude(logs, LOGS_FAILED);
        return;
    }
    coreweave__sandbox__v1__stream_logs_request__pack(&request, block->data + CWS_FRAME_PREFIX);
    logs->call = cws_call_start(logs->sandbox->loop_only.channel, &options, &logs_events, logs);
    assert_non_null(logs->call);
    cws_call_send(logs->call, block);
    cws_call_half_close(logs->call);
}

static void logs_evict(struct cws_tenant *tenant, enum cws_eviction why)
{
    struct logs *logs = cws_container_of(tenant, struct logs, tenant);
    struct cws_call *call = logs->call;
    logs->evicted++;
    logs->call = NULL;
    if (call)
        cws_call_cancel(call);
    logs_conclude(logs, why == CWS_EVICTION_CLOSED ? LOGS_CLOSED : LOGS_NOT_OPEN);
}

static const struct cws_tenant_kind logs_kind = {.send = logs_send, .end = logs_evict};

static void logs_run_start(struct cws_task *task)
{
    struct logs *logs = cws_container_of(task, struct logs, start_task);
    cws_sandbox_admit(logs->sandbox, &logs->tenant);
}

static struct logs *follow(struct exec_bed *bed, const char *container)
{
    struct logs *logs = cws_calloc(1, sizeof(*logs));
    assert_non_null(logs);
    cws_ref_init(&logs->ref);
    cws_ref_get(&logs->ref); /* the loop's */
    cws_future_init(&logs->future);
    cws_output_init(&logs->output);
    cws_sandbox_ref(bed->sandbox);
    logs->sandbox = bed->sandbox;
    cws_tenant_init(&logs->tenant, &logs_kind);
    snprintf(logs->container, sizeof(logs->container), "%s", container);
    logs->start_task.run = logs_run_start;
    cws_loop_post(bed->client.loop, &logs->start_task);
    return logs;
}

static void assert_logs(struct exec_bed *bed, struct logs *logs, enum logs_end end,
                        unsigned evicted)
{
    WAIT_FOR(bed->client.loop, cws_future_is_done(&logs->future));
    settle(bed->client.loop); /* nothing comes after the end */
    assert_int_equal(logs->end, end);
    assert_int_equal(logs->evicted, evicted);
    assert_true(cws_list_is_empty(&logs->tenant.node));
    logs_unref(logs);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void bed_init(struct exec_bed *bed)
{
    const struct cws_server_options wishes = {.methods = methods, .method_count = 2};
    followed_count = 0;
    order[0] = 0;
    exec_bed_init_with(bed, &wishes, (struct cws_channel_options){0});
    bed->hook = note_command;
}

static struct cws_exec *command(struct exec_bed *bed, const char *name)
{
    char copy[8];
    snprintf(copy, sizeof(copy), "%s", name);
    char *argv[] = {copy};
    const struct cws_exec_options options = {
        .argv = argv, .argc = 1, .container = "", .timeout_s = -1};
    struct cws_exec *exec = NULL;
    assert_int_equal(cws_exec_start(bed->sandbox, &options, &exec), CWS_OK);
    return exec;
}

static void assert_command(struct exec_bed *bed, struct cws_exec *exec, enum cws_exec_end end)
{
    exec_wait(bed, exec);
    assert_int_equal(exec->end, end);
    cws_exec_unref(exec);
}

static void test_all_kinds_are_sent_in_one_order(void **state)
{
    struct exec_bed *bed = *state;
    bed_init(bed);
    struct cws_exec *a = command(bed, "a");
    struct logs *b = follow(bed, "b");
    struct cws_exec *c = command(bed, "c");
    struct logs *d = follow(bed, "d");
    settle(bed->client.loop);
    assert_int_equal(bed->client.accepted, 0);
    assert_int_equal(b->sent + d->sent, 0);
    exec_bed_open_sandbox(bed);
    struct logs *e = follow(bed, "e"); /* at once, behind those that waited */
    WAIT_FOR(bed->client.loop, strlen(order) == 5);
    assert_string_equal(order, "abcde");
    assert_string_equal(followed[0].id, SANDBOX_ID);
    remote_end(wait_remote(bed, 0), 0);
    remote_end(wait_remote(bed, 1), 0);
    for (size_t i = 0; i < 3; i++) {
        followed_send(&followed[i], "line\n");
        followed_send(&followed[i], "rest");
        cws_server_call_finish(followed[i].call, CWS_GRPC_OK, NULL, NULL, 0);
    }
    WAIT_FOR(bed->client.loop, cws_future_is_done(&b->future));
    assert_output(&b->output, "line\nrest");
    assert_logs(bed, b, LOGS_ENDED, 0);
    assert_logs(bed, d, LOGS_ENDED, 0);
    assert_logs(bed, e, LOGS_ENDED, 0);
    assert_command(bed, a, CWS_EXEC_EXITED);
    assert_command(bed, c, CWS_EXEC_EXITED);
    assert_int_equal(atomic_load(&bed->sandbox->exec_count), 2); /* commands only */
    exec_bed_close(bed);
}

static void test_failing_ends_those_that_wait(void **state)
{
    struct exec_bed *bed = *state;
    bed_init(bed);
    struct logs *a = follow(bed, "a");
    struct cws_exec *b = command(bed, "b");
    assert_int_equal(cws_sandbox_fail(bed->sandbox), CWS_OK);
    struct logs *later = follow(bed, "l");
    assert_logs(bed, a, LOGS_NOT_OPEN, 1);
    assert_command(bed, b, CWS_EXEC_NOT_OPEN);
    assert_false(cws_future_is_done(&later->future));
    exec_bed_open_sandbox(bed);
    WAIT_FOR(bed->client.loop, followed_count == 1);
    assert_int_equal(cws_sandbox_fail(bed->sandbox), CWS_OK); /* what was sent is left alone */
    settle(bed->client.loop);
    assert_false(cws_future_is_done(&later->future));
    cws_server_call_finish(followed[0].call, CWS_GRPC_UNAVAILABLE, "gone", NULL, 0);
    assert_logs(bed, later, LOGS_FAILED, 0);
    exec_bed_close(bed);
}

static void test_closing_ends_all(void **state)
{
    struct exec_bed *bed = *state;
    bed_init(bed);
    exec_bed_open_sandbox(bed);
    struct logs *a = follow(bed, "a");
    struct cws_exec *b = command(bed, "b");
    WAIT_FOR(bed->client.loop, strlen(order) == 2);
    followed_send(&followed[0], "some");
    WAIT_FOR(bed->client.loop, cws_output_size(&a->output));
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK);
    struct logs *later = follow(bed, "l");
    WAIT_FOR(bed->client.loop, cws_future_is_done(&a->future));
    assert_output(&a->output, "some");
    assert_logs(bed, a, LOGS_CLOSED, 1);
    assert_command(bed, b, CWS_EXEC_CLOSED);
    assert_int_equal(later->sent, 0);
    assert_logs(bed, later, LOGS_CLOSED, 1);
    WAIT_FOR(bed->client.loop, followed[0].gone);
    assert_int_equal(followed[0].why, CWS_GRPC_CANCELLED);
    assert_int_equal(cws_sandbox_close(bed->sandbox), CWS_OK); /* nobody is told twice */
    settle(bed->client.loop);
    exec_bed_close(bed);
}

/* Tenants hold the sandbox, whatever their kind; who is being sent may end inside of the call. */
static void test_ends_while_it_is_sent(void **state)
{
    struct exec_bed *bed = *state;
    bed_init(bed);
    struct logs *a = follow(bed, "a"), *b = follow(bed, "b");
    settle(bed->client.loop);
    exec_bed_open_sandbox(bed);
    cws_sandbox_unref(bed->sandbox); /* the handle's */
    bed->sandbox = NULL;
    cws_alloc_fail_at(1); /* the block of a's request */
    WAIT_FOR(bed->client.loop, followed_count == 1);
    assert_string_equal(order, "b");
    assert_int_equal(a->sent, 1);
    assert_logs(bed, a, LOGS_FAILED, 0);
    cws_server_call_finish(followed[0].call, CWS_GRPC_OK, NULL, NULL, 0);
    assert_logs(bed, b, LOGS_ENDED, 0);
    exec_bed_close(bed);
}

#define TENANT_TEST(function) TEST_WITH(struct exec_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TENANT_TEST(test_all_kinds_are_sent_in_one_order),
        TENANT_TEST(test_failing_ends_those_that_wait),
        TENANT_TEST(test_closing_ends_all),
        TENANT_TEST(test_ends_while_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
