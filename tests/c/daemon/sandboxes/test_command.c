/* cwsandboxd/command: commands before, in and after the life of their sandbox, and the words for
 * what went wrong. */
#include "sandboxes/command.h"
#include "support/failing.h"
#include "support/pool_world.h"
#include "values/bounds.h"

/* What the one command told. */
struct world {
    struct pool_world pool;
    bool started, exited, failed;
    unsigned drained;
    int exit_code;
    char output[100];
    size_t output_len;
};

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
    world->pool.fault = *fault;
}

static const struct cwsd_command_events events = {on_started, on_output, on_stdin_drained,
                                                  on_exited, on_failed};

static int set_up_creating(void **state)
{
    return pool_set_up(state, sizeof(struct world));
}

static int set_up_running(void **state)
{
    pool_set_up(state, sizeof(struct world));
    struct world *world = *state;
    pool_await_created(&world->pool);
    assert_int_equal(world->pool.sandbox->record.state, CWSD_STATE(RUNNING));
    return 0;
}

static struct cwsd_command *
start_request(struct world *world, const struct cwsd_command_request *request, bool with_stdin)
{
    world->pool.fault.code = CWS_GRPC_OK;
    struct cwsd_command *command = cwsd_command_start(world->pool.pool, request, with_stdin,
                                                      &events, world, &world->pool.fault);
    assert_int_equal(command == NULL, cwsd_fault_is_set(&world->pool.fault));
    assert_false(world->started || world->failed); /* never from inside the call */
    return command;
}

/* What the request says is used after this returns: the words are the caller's. */
static struct cwsd_command *start(struct world *world, char *const *words, size_t count,
                                  bool with_stdin)
{
    struct cwsd_command_request request = {.sandbox_id = world->pool.id,
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

static void test_what_is_refused_at_once(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"}, *empty[] = {(char *)""};
    struct cwsd_command_request fine = {.sandbox_id = world->pool.id,
                                        .container = "",
                                        .command = words,
                                        .command_count = 1,
                                        .cwd = ""};
    struct cwsd_command_request request = fine;
    request.sandbox_id = "sb-nowhere";
    assert_null(start_request(world, &request, false));
    assert_fault(&world->pool.fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND,
                 "sb-nowhere");
    request = fine;
    request.command_count = 0;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "command");
    request = fine;
    request.command = empty;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "command");
    request = fine;
    request.container = "sidecar";
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "container");
    assert_non_null(strstr(world->pool.fault.message, "\"sidecar\""));
    Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry =
        COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT;
    void *entries[] = {&entry};
    entry.key = (char *)"A=B";
    request = fine;
    request.environment = (struct cwsd_pairs){entries, 1};
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "env");
    request = fine;
    request.cwd = "relative";
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "cwd");
    assert_non_null(strstr(world->pool.fault.message, "\"relative\" must be an absolute path"));
    char endless[CWSD_MAX_PATH_BYTES + 2];
    memset(endless, '/', sizeof(endless));
    endless[sizeof(endless) - 1] = '\0';
    request.cwd = endless;
    assert_null(start_request(world, &request, false));
    assert_invalid(&world->pool.fault, "cwd");
    assert_non_null(
        strstr(world->pool.fault.message, "has 4096 bytes; the kernel takes at most 4095"));
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
    struct cwsd_command_request request = {.sandbox_id = world->pool.id,
                                           .container = "main",
                                           .command = words,
                                           .command_count = 3,
                                           .environment = {entries, 1},
                                           .cwd = "/var/../usr"};
    struct cwsd_command *command = start_request(world, &request, false);
    assert_non_null(command);
    RUN_UNTIL(&world->pool, world->exited || world->failed);
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
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(&world->pool, world->failed || world->started);
    assert_true(world->failed);
    assert_not_running(&world->pool, "has ended");
    cwsd_command_free(command);
}

static void test_freed_while_it_waits(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    struct cwsd_command *command = start_well(world, words, 1, false);
    cwsd_command_free(command);
    pool_await_created(&world->pool);
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(&world->pool, cwsd_record_is_finished(&world->pool.sandbox->record));
    assert_false(world->started || world->failed || world->exited);
    cwsd_command_free(NULL);
}

static void test_the_sandbox_ends_under_it(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"/bin/sh", (char *)"-c", (char *)"trap '' TERM; sleep 1000"};
    struct cwsd_command *command = start_well(world, words, 3, false);
    RUN_UNTIL(&world->pool, world->started);
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    RUN_UNTIL(&world->pool, world->failed || world->exited);
    assert_true(world->failed);
    assert_not_running(&world->pool, "ended while the command ran");
    cwsd_command_free(command);
}

static void test_the_sandbox_is_ending_or_has_ended(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"true"};
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    assert_int_equal(world->pool.sandbox->record.state, CWSD_STATE(TERMINATING));
    assert_null(start(world, words, 1, false));
    assert_not_running(&world->pool, "is ending");
    RUN_UNTIL(&world->pool, cwsd_record_is_finished(&world->pool.sandbox->record));
    assert_null(start(world, words, 1, false));
    assert_not_running(&world->pool, "has ended: deleted");
}

static void test_stdin(void **state)
{
    struct world *world = *state;
    char *words[] = {(char *)"cat"};
    struct cwsd_command *command = start_well(world, words, 1, true);
    RUN_UNTIL(&world->pool, world->started || world->failed);
    assert_int_equal(cwsd_command_write(command, (const uint8_t *)"a\0b", 3), CWS_OK);
    RUN_UNTIL(&world->pool, world->output_len == 3 && cwsd_command_stdin_pending(command) == 0);
    assert_memory_equal(world->output, "a\0b", 3);
    cwsd_command_pause(command, true);
    assert_int_equal(cwsd_command_write(command, (const uint8_t *)"c", 1), CWS_OK);
    cwsd_command_close_stdin(command);
    cwsd_command_pause(command, false);
    RUN_UNTIL(&world->pool, world->exited || world->failed);
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
            RUN_UNTIL(&world->pool, world->exited || world->failed);
            assert_true(world->exited);
            cwsd_command_free(command);
            assert_true(n > 3);
            break;
        }
        assert_true(reached);
        assert_int_equal(world->pool.fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    }
}

#define WHILE_CREATING(name) cmocka_unit_test_setup_teardown(name, set_up_creating, pool_tear_down)
#define WHILE_RUNNING(name)  cmocka_unit_test_setup_teardown(name, set_up_running, pool_tear_down)

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
