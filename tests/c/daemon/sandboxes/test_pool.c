/* cwsandboxd/pool, command, launch: sandboxes and commands over boxes that the test plays
 * itself. */
#include "support/daemon_help.h"

#include "sandboxes/command.h"
#include "support/peer.h"
#include "support/played_boxes.h"

/* ---- one pool per test ---------------------------------------------------------------------- */

struct world {
    size_t live;
    struct cws_loop *loop;
    struct cwsd_pool *pool;
    unsigned emptied;
    struct cwsd_fault fault;
    cwsd_pb_spec spec;
    cwsd_pb_container container;
    cwsd_pb_container *containers[1];
};

static void on_empty(void *ctx)
{
    struct world *w = ctx;
    w->emptied++;
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    w->live = cws_alloc_live();
    w->loop = loop_open();
    const struct cwsd_pool_options options = {.loop = w->loop,
                                              .runner_id = "local-here",
                                              .max_sandboxes = 3,
                                              .log_dir = "/tmp",
                                              .log_bytes = 1 << 20,
                                              .on_empty = on_empty,
                                              .ctx = w};
    assert_int_equal(cwsd_pool_new(&options, &w->pool, NULL), CWS_OK);
    cws_list_init(&boxes);
    memset(&refusal, 0, sizeof(refusal));
    freed_boxes = freed_execs = 0;
    plain_spec(&w->spec, &w->container, w->containers);
    *state = w;
    return 0;
}

static void gone(struct world *w, struct cwsd_box *box, const char *broken)
{
    struct cws_error err;
    if (broken)
        cws_error_set(&err, CWS_SYSTEM, "%s", broken);
    box->events->on_gone(box->ctx, broken ? &err : NULL);
    settle(w->loop);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    cws_alloc_fail_at(0);
    while (!cws_list_is_empty(&boxes))
        gone(w, cws_list_entry(boxes.next, struct cwsd_box, node), NULL);
    cwsd_pool_free(w->pool);
    loop_close(w->loop);
    size_t before = w->live;
    test_free(w);
    return before == cws_alloc_live() ? 0 : -1;
}

#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static struct cwsd_sandbox *create(struct world *w, const char *request_id)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    sandbox.spec = &w->spec;
    sandbox.display_name = (char *)"shown";
    request.sandbox = &sandbox;
    request.request_id = (char *)request_id;
    w->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    cwsd_pb_create_request *copy = copy_of(&request);
    struct cwsd_sandbox *made = cwsd_pool_create(w->pool, copy, &w->fault);
    cwsd_wire_free(copy);
    assert_int_equal(made != NULL, w->fault.code == CWS_GRPC_OK);
    return made;
}

static struct cwsd_box *newest(void)
{
    return cws_list_entry(boxes.prev, struct cwsd_box, node);
}

static struct cwsd_sandbox *create_running(struct world *w)
{
    struct cwsd_sandbox *sandbox = create(w, "");
    assert_non_null(sandbox);
    newest()->events->on_running(newest()->ctx);
    return sandbox;
}

/* ---- create --------------------------------------------------------------------------------- */

static void a_box_gets_what_was_asked_for(void **state)
{
    struct world *w = *state;
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry entry =
        COREWEAVE__SANDBOX__V1__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry *entries[] = {&entry};
    char *args[] = {(char *)"-c", (char *)"", (char *)"x"};
    cwsd_pb_file file = COREWEAVE__SANDBOX__V1__FILE_MOUNT__INIT;
    cwsd_pb_file *files[] = {&file};
    entry.key = (char *)"A";
    entry.value = (char *)"b=c";
    w->container.environment_variables = entries;
    w->container.n_environment_variables = 1;
    w->container.command = (char *)"sh";
    w->container.args = args;
    w->container.n_args = 3;
    file.path = (char *)"/f";
    file.content.data = (uint8_t *)"content";
    file.content.len = 7;
    w->container.files = files;
    w->container.n_files = 1;
    struct cwsd_sandbox *sandbox = create(w, "");
    assert_string_equal(newest()->id, sandbox->record.id);
    assert_string_equal(newest()->command, "sh|-c||x");
    assert_string_equal(newest()->environment, "A=b=c");
    assert_string_equal(newest()->file, "content");
    assert_string_equal(sandbox->record.display_name, "shown");
    /* The record keeps the path, not the content. */
    assert_string_equal(sandbox->record.spec->containers[0]->files[0]->path, "/f");
    assert_int_equal(sandbox->record.spec->containers[0]->files[0]->content.len, 0);
}

static void no_command_leaves_it_idle(void **state)
{
    struct world *w = *state;
    create(w, "");
    assert_string_equal(newest()->command, "");
}

static void identical_requests_make_one(void **state)
{
    struct world *w = *state;
    struct cwsd_sandbox *first = create(w, "key");
    assert_ptr_equal(create(w, "key"), first);
    w->container.image = (char *)"other";
    assert_null(create(w, "key"));
    assert_int_equal(w->fault.code, CWS_GRPC_ALREADY_EXISTS);
    assert_string_equal(w->fault.reason, CWSD_REASON_REQUEST_ID_CONFLICT);
    assert_non_null(create(w, "another"));
    w->container.image = (char *)"python:3.11";
    gone(w, cws_list_entry(boxes.next, struct cwsd_box, node), "broke");
    assert_ptr_equal(create(w, "key"), first); /* also when it has ended */
}

static void no_more_than_allowed(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++)
        assert_non_null(create(w, ""));
    assert_null(create(w, ""));
    assert_int_equal(w->fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(w->fault.reason, CWSD_REASON_CAPACITY_EXHAUSTED);
    gone(w, newest(), NULL);
    assert_non_null(create(w, ""));
}

static void a_box_that_cannot_start_leaves_no_record(void **state)
{
    struct world *w = *state;
    cws_error_set(&refusal, CWS_SYSTEM, "no processes left");
    assert_null(create(w, "key"));
    assert_int_equal(w->fault.code, CWS_GRPC_UNAVAILABLE);
    assert_string_equal(w->fault.reason, CWSD_REASON_BACKEND_UNAVAILABLE);
    assert_non_null(strstr(w->fault.message, "no processes left"));
    cws_error_set(&refusal, CWS_INVALID, "too long");
    assert_null(create(w, "key"));
    assert_int_equal(w->fault.code, CWS_GRPC_INVALID_ARGUMENT);
    refusal.status = CWS_OK;
    assert_non_null(create(w, "key")); /* the id is free for the next try */
    assert_int_equal(cwsd_pool_registry(w->pool)->live, 1);
}

static void create_without_memory(void **state)
{
    struct world *w = *state;
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    struct cwsd_sandbox *made = NULL;
    size_t n = 0;
    w->container.command = (char *)"sh";
    sandbox.spec = &w->spec;
    request.sandbox = &sandbox;
    request.request_id = (char *)"key";
    while (!made) {
        cwsd_pb_create_request *copy = copy_of(&request);
        w->fault.code = CWS_GRPC_OK;
        cws_alloc_fail_at(++n);
        made = cwsd_pool_create(w->pool, copy, &w->fault);
        cws_alloc_fail_at(0);
        cwsd_wire_free(copy);
        if (!made)
            assert_int_equal(w->fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
        assert_int_equal(cwsd_pool_registry(w->pool)->live, made != NULL);
    }
    assert_true(n > 8); /* each allocation of the way was tried */
}

/* ---- the end -------------------------------------------------------------------------------- */

static void stopping(void **state)
{
    struct world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    struct cwsd_box *box = newest();
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 5000);
    assert_int_equal(box->grace_ms, 5000);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATING));
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 0);
    assert_int_equal(box->grace_ms, 0);
    box->events->on_exited(box->ctx, 137);
    gone(w, box, NULL);
    assert_int_equal(freed_boxes, 1);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATED));
    assert_int_equal(sandbox->record.exit_code, 137);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 0); /* harmless */
    assert_ptr_equal(cwsd_pool_find(w->pool, sandbox->record.id, &w->fault), sandbox);
}

static void a_lifetime_passes(void **state)
{
    struct world *w = *state;
    w->spec.max_lifetime_seconds = 1;
    struct cwsd_sandbox *sandbox = create_running(w);
    PUMP_UNTIL(w->loop, newest()->stops);
    assert_int_equal(newest()->grace_ms, CWSD_LIFETIME_GRACE_S * 1000);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATING));
    newest()->events->on_exited(newest()->ctx, 0);
    gone(w, newest(), NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATED));
}

static void draining(void **state)
{
    struct world *w = *state;
    create_running(w);
    struct cwsd_sandbox *second = create(w, "");
    struct cwsd_box *boxes_now[] = {cws_list_entry(boxes.next, struct cwsd_box, node), newest()};
    cwsd_pool_drain(w->pool, 100);
    assert_int_equal(boxes_now[0]->grace_ms, 100);
    assert_int_equal(boxes_now[1]->grace_ms, 100);
    assert_null(create(w, ""));
    assert_int_equal(w->fault.code, CWS_GRPC_UNAVAILABLE);
    gone(w, boxes_now[0], NULL);
    assert_int_equal(w->emptied, 0);
    cwsd_pool_drain(w->pool, 0);
    assert_int_equal(boxes_now[1]->grace_ms, 0);
    gone(w, boxes_now[1], NULL);
    assert_int_equal(w->emptied, 1);
    assert_int_equal(second->record.state, CWSD_STATE(TERMINATED));
}

static void unknown_ids(void **state)
{
    struct world *w = *state;
    assert_null(cwsd_pool_find(w->pool, "sb-none", &w->fault));
    assert_int_equal(w->fault.code, CWS_GRPC_NOT_FOUND);
    assert_string_equal(w->fault.reason, CWSD_REASON_SANDBOX_NOT_FOUND);
    assert_string_equal(w->fault.metadata[0].key, "sandbox_id");
    assert_string_equal(w->fault.metadata[0].value, "sb-none");
    assert_null(cwsd_pool_find(w->pool, "", &w->fault));
    assert_invalid(&w->fault, "sandbox_id");
}

/* ---- commands ------------------------------------------------------------------------------- */

struct runner {
    unsigned started, failed;
    int exit_code; /* -1: not yet */
    size_t output;
    struct cwsd_fault fault;
    struct cwsd_command *command;
};

static void on_started(void *ctx)
{
    struct runner *runner = ctx;
    runner->started++;
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    (void)is_stderr, (void)data;
    struct runner *runner = ctx;
    runner->output += len;
}

static void on_stdin_drained(void *ctx)
{
    (void)ctx;
}

static void on_exited(void *ctx, int exit_code)
{
    struct runner *runner = ctx;
    runner->exit_code = exit_code;
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    struct runner *runner = ctx;
    runner->failed++;
    runner->fault = *fault;
    cwsd_command_free(runner->command); /* from inside, as the calls do */
    runner->command = NULL;
}

static const struct cwsd_command_events command_events = {on_started, on_output, on_stdin_drained,
                                                          on_exited, on_failed};

static bool run(struct world *w, struct runner *runner, const char *sandbox_id,
                const char *container)
{
    static char *command[] = {(char *)"echo", (char *)"hi"};
    const struct cwsd_command_request request = {.sandbox_id = sandbox_id,
                                                 .container = container,
                                                 .command = command,
                                                 .command_count = 2,
                                                 .cwd = ""};
    *runner = (struct runner){.exit_code = -1};
    runner->command =
        cwsd_command_start(w->pool, &request, true, &command_events, runner, &runner->fault);
    return runner->command != NULL;
}

static void a_command_runs(void **state)
{
    struct world *w = *state;
    struct runner runner;
    struct cwsd_sandbox *sandbox = create_running(w);
    assert_true(run(w, &runner, sandbox->record.id, "main"));
    assert_string_equal(last_exec->command, "echo|hi");
    assert_true(last_exec->with_stdin);
    last_exec->events->on_started(last_exec->ctx);
    last_exec->events->on_output(last_exec->ctx, false, (const uint8_t *)"hi\n", 3);
    last_exec->events->on_exited(last_exec->ctx, 4);
    assert_int_equal(runner.started, 1);
    assert_int_equal(runner.output, 3);
    assert_int_equal(runner.exit_code, 4);
    cwsd_command_free(runner.command);
    assert_int_equal(freed_execs, 1);
}

static void commands_that_cannot_run(void **state)
{
    struct world *w = *state;
    struct runner runner;
    struct cwsd_sandbox *sandbox = create_running(w);
    assert_false(run(w, &runner, "sb-none", ""));
    assert_int_equal(runner.fault.code, CWS_GRPC_NOT_FOUND);
    assert_false(run(w, &runner, sandbox->record.id, "sidecar"));
    assert_invalid(&runner.fault, "container");
    cws_error_set(&refusal, CWS_TOO_LARGE, "too many commands");
    assert_false(run(w, &runner, sandbox->record.id, ""));
    assert_int_equal(runner.fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    cws_error_set(&refusal, CWS_INVALID, "no words");
    assert_false(run(w, &runner, sandbox->record.id, ""));
    assert_invalid(&runner.fault, "command");
    cws_error_set(&refusal, CWS_CLOSED, "down");
    assert_false(run(w, &runner, sandbox->record.id, ""));
    assert_string_equal(runner.fault.reason, CWSD_REASON_SANDBOX_NOT_RUNNING);
    refusal.status = CWS_OK;
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 100);
    assert_false(run(w, &runner, sandbox->record.id, ""));
    assert_int_equal(runner.fault.code, CWS_GRPC_FAILED_PRECONDITION);
    assert_string_equal(runner.fault.reason, CWSD_REASON_SANDBOX_NOT_RUNNING);
    assert_string_equal(runner.fault.metadata[0].value, sandbox->record.id);
    gone(w, newest(), NULL);
    assert_false(run(w, &runner, sandbox->record.id, ""));
    assert_string_equal(runner.fault.reason, CWSD_REASON_SANDBOX_NOT_RUNNING);
}

static void a_command_waits_for_its_sandbox(void **state)
{
    struct world *w = *state;
    struct runner first, second, third;
    struct cwsd_sandbox *sandbox = create(w, "");
    last_exec = NULL;
    assert_true(run(w, &first, sandbox->record.id, ""));
    assert_true(run(w, &second, sandbox->record.id, ""));
    assert_true(run(w, &third, sandbox->record.id, ""));
    assert_null(last_exec);
    cwsd_command_free(second.command); /* a client that does not wait any longer */
    newest()->events->on_running(newest()->ctx);
    assert_non_null(last_exec);
    assert_ptr_equal(last_exec->ctx, third.command);
    last_exec->events->on_started(last_exec->ctx);
    assert_int_equal(third.started, 1);
    assert_int_equal(first.failed + third.failed, 0);
    cwsd_command_free(first.command);
    cwsd_command_free(third.command);
    assert_int_equal(freed_execs, 2);
}

static void a_sandbox_that_never_runs_fails_who_waits(void **state)
{
    struct world *w = *state;
    struct runner runner;
    struct cwsd_sandbox *sandbox = create(w, "");
    assert_true(run(w, &runner, sandbox->record.id, ""));
    gone(w, newest(), "bubblewrap: no");
    assert_int_equal(runner.failed, 1);
    assert_int_equal(runner.fault.code, CWS_GRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(runner.fault.message, "bubblewrap: no"));

    sandbox = create(w, "");
    assert_true(run(w, &runner, sandbox->record.id, ""));
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 0);
    assert_int_equal(runner.failed, 1);

    sandbox = create(w, "");
    assert_true(run(w, &runner, sandbox->record.id, ""));
    cws_error_set(&refusal, CWS_SYSTEM, "no pipes");
    newest()->events->on_running(newest()->ctx); /* it runs, but the command cannot start */
    assert_int_equal(runner.failed, 1);
    assert_int_equal(runner.fault.code, CWS_GRPC_UNAVAILABLE);
    refusal.status = CWS_OK;
}

static void a_command_that_is_lost(void **state)
{
    struct world *w = *state;
    struct runner runner;
    struct cws_error err;
    struct cwsd_sandbox *sandbox = create_running(w);
    assert_true(run(w, &runner, sandbox->record.id, ""));
    cws_error_set(&err, CWS_CLOSED, "ended");
    last_exec->events->on_failed(last_exec->ctx, &err);
    assert_string_equal(runner.fault.reason, CWSD_REASON_SANDBOX_NOT_RUNNING);
    assert_true(run(w, &runner, sandbox->record.id, ""));
    cws_error_set(&err, CWS_SYSTEM, "the init broke");
    last_exec->events->on_failed(last_exec->ctx, &err);
    assert_int_equal(runner.fault.code, CWS_GRPC_INTERNAL);
    assert_non_null(strstr(runner.fault.message, "the init broke"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_box_gets_what_was_asked_for),
        POOL_TEST(no_command_leaves_it_idle),
        POOL_TEST(identical_requests_make_one),
        POOL_TEST(no_more_than_allowed),
        POOL_TEST(a_box_that_cannot_start_leaves_no_record),
        POOL_TEST(create_without_memory),
        POOL_TEST(stopping),
        POOL_TEST(a_lifetime_passes),
        POOL_TEST(draining),
        POOL_TEST(unknown_ids),
        POOL_TEST(a_command_runs),
        POOL_TEST(commands_that_cannot_run),
        POOL_TEST(a_command_waits_for_its_sandbox),
        POOL_TEST(a_sandbox_that_never_runs_fails_who_waits),
        POOL_TEST(a_command_that_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
