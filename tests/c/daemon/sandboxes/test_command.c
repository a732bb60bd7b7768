/* cwsandboxd/command: commands before, in and after the life of their sandbox, and the words for
 * what went wrong. */
#include "sandboxes/command.h"
#include "support/box_world.h"
#include "support/daemon_help.h"
#include "support/failing.h"
#include "values/bounds.h"

/* A pool with one sandbox, and what the one command in it told. */
struct world {
    size_t live; /* allocations before all this */
    struct cws_loop *loop;
    struct cwsd_host *host;
    struct cwsd_pool *pool;
    struct cwsd_sandbox *sandbox;
    char id[CWSD_ID_SIZE];
    bool empty, started, exited, failed;
    unsigned drained;
    int exit_code;
    struct cwsd_fault fault;
    char output[100];
    size_t output_len;
};

static void on_empty(void *ctx)
{
    struct world *world = ctx;
    world->empty = true;
    uv_stop(cws_loop_uv(world->loop)); /* told before the loop waits, which it then must not do */
}

static void on_started(void *ctx)
{
    struct world *world = ctx;
    assert_false(world->started || world->exited || world->failed);
    world->started = true;
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct world *world = ctx;
    assert_true(world->started && !world->exited && !is_stderr);
    assert_true(world->output_len + len < sizeof(world->output));
    memcpy(world->output + world->output_len, data, len);
    world->output_len += len;
}

static void on_stdin_drained(void *ctx)
{
    struct world *world = ctx;
    world->drained++;
}

static void on_exited(void *ctx, int exit_code)
{
    struct world *world = ctx;
    assert_true(world->started && !world->exited && !world->failed);
    world->exited = true;
    world->exit_code = exit_code;
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    struct world *world = ctx;
    assert_false(world->exited || world->failed);
    world->failed = true;
    world->fault = *fault;
}

static const struct cwsd_command_events events = {on_started, on_output, on_stdin_drained,
                                                  on_exited, on_failed};

static void create(struct world *world)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    char *args[] = {(char *)"-c", (char *)KEEP_ALIVE};
    plain_spec(&spec, &container, containers);
    container.command = (char *)"/bin/sh";
    container.args = args;
    container.n_args = 2;
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    cwsd_pb_create_request *copy = copy_of(&request);
    world->sandbox = cwsd_pool_create(world->pool, copy, &world->fault);
    cwsd_wire_free(copy);
    if (!world->sandbox)
        fail_msg("%s", world->fault.message);
    strcpy(world->id, world->sandbox->record.id);
}

/* A sandbox that was asked for and does not run yet. */
static int set_up_creating(void **state)
{
    struct cws_error err = {CWS_OK, ""};
    struct world *world = test_calloc(1, sizeof(*world));
    alarm(UNIT_SECONDS);
    world->live = cws_alloc_live();
    if (cws_loop_new(&world->loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
    world->host = probe_host(CWSD_ISOLATION_NONE);
    const struct cwsd_pool_options options = {.loop = world->loop,
                                              .host = world->host,
                                              .runner_id = "runner-1",
                                              .max_sandboxes = 1,
                                              .log_dir = "/tmp",
                                              .log_bytes = 1 << 20,
                                              .on_empty = on_empty,
                                              .ctx = world};
    world->pool = cwsd_pool_new(&options);
    assert_non_null(world->pool);
    create(world);
    assert_int_equal(world->sandbox->record.state, CWSD_STATE(CREATING));
    *state = world;
    return 0;
}

static void await_created(struct world *world)
{
    RUN_UNTIL(world, world->sandbox->record.state != CWSD_STATE(CREATING));
}

static int set_up_running(void **state)
{
    set_up_creating(state);
    struct world *world = *state;
    await_created(world);
    assert_int_equal(world->sandbox->record.state, CWSD_STATE(RUNNING));
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    cws_alloc_fail_at(0);
    cwsd_pool_drain(world->pool, 0);
    RUN_UNTIL(world, world->empty);
    cwsd_pool_free(world->pool);
    cwsd_host_free(world->host);
    cws_loop_free(world->loop);
    alarm(0);
    size_t before = world->live, live = cws_alloc_live();
    test_free(world);
    return live == before ? 0 : -1;
}

static struct cwsd_command *
start_request(struct world *world, const struct cwsd_command_request *request, bool with_stdin)
{
    world->fault.code = CWS_GRPC_OK;
    struct cwsd_command *command =
        cwsd_command_start(world->pool, request, with_stdin, &events, world, &world->fault);
    assert_int_equal(command == NULL, cwsd_fault_is_set(&world->fault));
    assert_false(world->started || world->failed); /* never from inside the call */
    return command;
}

/* What the request says is used after this returns: the words are the caller's. */
static struct cwsd_command *start(struct world *world, char *const *words, size_t count,
                                  bool with_stdin)
{
    struct cwsd_command_request request = {.sandbox_id = world->id,
                                           .container = "",
                                           .command = words,
                                           .command_count = count,
                                           .cwd = ""};
    return start_request(world, &request, with_stdin);
}

static struct cwsd_command *start_well(struct world *world, char *const *words, size_t count,
                                       bool with_stdin)
{
    struct cwsd_command *command = start(world, words, count, with_stdin);
    assert_non_null(command);
    return command;
}

static void assert_fault(const struct cwsd_fault *fault, enum cws_grpc_code code,
                         const char *reason, const char *text)
{
    assert_int_equal(fault->code, code);
    assert_string_equal(fault->reason, reason);
    if (!strstr(fault->message, text))
        fail_msg("\"%s\" does not say \"%s\"", fault->message, text);
}

static void assert_not_running(const struct world *world, const char *text)
{
    assert_fault(&world->fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING,
                 text);
    assert_non_null(strstr(world->fault.message, world->id));
    assert_int_equal(world->fault.metadata_count, 1);
    assert_string_equal(world->fault.metadata[0].key, "sandbox_id");
    assert_string_equal(world->fault.metadata[0].value, world->id);
}

static void test_what_is_refused_at_once(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"}, *empty[] = {(char *)""};
    struct cwsd_command_request fine = {
        .sandbox_id = world->id, .container = "", .command = words, .command_count = 1, .cwd = ""};
    struct cwsd_command_request request = fine;
    request.sandbox_id = "sb-nowhere";
    assert_null(start_request(world, &request, false));
    assert_fault(&world->fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND, "sb-nowhere");
    request = fine;
    request.command_count = 0;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "command");
    request = fine;
    request.command = empty;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "command");
    request = fine;
    request.container = "sidecar";
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "container");
    assert_non_null(strstr(world->fault.message, "\"sidecar\""));
    Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT;
    void *entries[] = {&entry};
    entry.key = (char *)"A=B";
    request = fine;
    request.environment = (struct cwsd_pairs){entries, 1};
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "env");
    request = fine;
    request.cwd = "relative";
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "cwd");
    assert_non_null(strstr(world->fault.message, "\"relative\" must be an absolute path"));
    char endless[CWSD_MAX_PATH_BYTES + 2];
    memset(endless, '/', sizeof(endless));
    endless[sizeof(endless) - 1] = '\0';
    request.cwd = endless;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->fault, "cwd");
    assert_non_null(strstr(world->fault.message, "has 4096 bytes; the kernel takes at most 4095"));
}

/* Held until the sandbox runs, then run with its environment. */
static void test_started_before_the_sandbox_runs(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"/bin/sh", (char *)"-c", (char *)"echo \"<$COLOUR>\" $(pwd); exit 7"};
    Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT;
    void *entries[] = {&entry};
    entry.key = (char *)"COLOUR";
    entry.value = (char *)"dark blue";
    struct cwsd_command_request request = {.sandbox_id = world->id,
                                           .container = "main",
                                           .command = words,
                                           .command_count = 3,
                                           .environment = {entries, 1},
                                           .cwd = "/var/../usr"};
    struct cwsd_command *command = start_request(world, &request, false);
    assert_non_null(command);
    RUN_UNTIL(world, world->exited || world->failed);
    assert_true(world->exited);
    assert_int_equal(world->exit_code, 7);
    assert_string_equal(world->output, "<dark blue> /usr\n");
    cwsd_command_free(command);
}

static void test_the_sandbox_never_runs(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    struct cwsd_command *command = start_well(world, words, 1, false);
    cwsd_pool_stop(world->sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(world, world->failed || world->started);
    assert_true(world->failed);
    assert_not_running(world, "has ended");
    cwsd_command_free(command);
}

static void test_freed_while_it_waits(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    struct cwsd_command *command = start_well(world, words, 1, false);
    cwsd_command_free(command);
    await_created(world);
    cwsd_pool_stop(world->sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(world, cwsd_record_is_finished(&world->sandbox->record));
    assert_false(world->started || world->failed || world->exited);
    cwsd_command_free(NULL);
}

static void test_the_sandbox_ends_under_it(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"/bin/sh", (char *)"-c", (char *)"trap '' TERM; sleep 1000"};
    struct cwsd_command *command = start_well(world, words, 3, false);
    RUN_UNTIL(world, world->started);
    cwsd_pool_stop(world->sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(world, world->failed || world->exited);
    assert_true(world->failed);
    assert_not_running(world, "ended while the command ran");
    cwsd_command_free(command);
}

static void test_the_sandbox_is_ending_or_has_ended(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    cwsd_pool_stop(world->sandbox, CWSD_CAUSE_DELETE, 0);
    assert_int_equal(world->sandbox->record.state, CWSD_STATE(TERMINATING));
    assert_null(start(world, words, 1, false));
    assert_not_running(world, "is ending");
    RUN_UNTIL(world, cwsd_record_is_finished(&world->sandbox->record));
    assert_null(start(world, words, 1, false));
    assert_not_running(world, "has ended: deleted");
}

static void test_stdin(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"cat"};
    struct cwsd_command *command = start_well(world, words, 1, true);
    RUN_UNTIL(world, world->started || world->failed);
    assert_int_equal(cwsd_command_write(command, (const uint8_t *)"a\0b", 3), CWS_OK);
    RUN_UNTIL(world, world->output_len == 3 && cwsd_command_stdin_pending(command) == 0);
    assert_memory_equal(world->output, "a\0b", 3);
    cwsd_command_pause(command, true);
    assert_int_equal(cwsd_command_write(command, (const uint8_t *)"c", 1), CWS_OK);
    cwsd_command_close_stdin(command);
    cwsd_command_pause(command, false);
    RUN_UNTIL(world, world->exited || world->failed);
    assert_true(world->exited);
    assert_int_equal(world->exit_code, 0);
    assert_int_equal(world->output_len, 4);
    cwsd_command_free(command);
}

static void test_each_allocation_may_fail(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    for (size_t n = 1;; n++) {
        cws_alloc_fail_at(n);
        struct cwsd_command *command = start(world, words, 1, false);
        bool reached = failing_was_reached(n);
        if (command) {
            assert_false(reached);
            RUN_UNTIL(world, world->exited || world->failed);
            assert_true(world->exited);
            cwsd_command_free(command);
            assert_true(n > 3);
            break;
        }
        assert_true(reached);
        assert_int_equal(world->fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    }
}

#define WHILE_CREATING(name) cmocka_unit_test_setup_teardown(name, set_up_creating, tear_down)
#define WHILE_RUNNING(name)  cmocka_unit_test_setup_teardown(name, set_up_running, tear_down)

static const struct CMUnitTest tests[] = {
    WHILE_RUNNING(test_what_is_refused_at_once),
    WHILE_CREATING(test_started_before_the_sandbox_runs),
    WHILE_CREATING(test_the_sandbox_never_runs),
    WHILE_CREATING(test_freed_while_it_waits),
    WHILE_RUNNING(test_the_sandbox_ends_under_it),
    WHILE_RUNNING(test_the_sandbox_is_ending_or_has_ended),
    WHILE_RUNNING(test_stdin),
    WHILE_RUNNING(test_each_allocation_may_fail),
};

UNIT_MAIN(tests)
