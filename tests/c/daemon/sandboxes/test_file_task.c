/* cwsandboxd/file_task: files before, in and after the life of their sandbox, and the words for
 * what went wrong. */
#include "sandboxes/file_task.h"
#include "support/failing.h"
#include "support/pool_world.h"
#include "values/bounds.h"

/* What the one operation told. */
struct world {
    struct pool_world pool;
    bool done, failed, needed;
    bool hold; /* no memory is given */
    struct cwsd_file_task *task;
    struct cws_buf content;
    size_t len;
    char path[100];
};

static void on_need(void *ctx, size_t len)
{
    struct world *world = ctx;
    uint8_t *memory;
    world->needed = true;
    if (world->hold)
        return;
    assert_int_equal(cws_buf_reserve(&world->content, len, &memory), CWS_OK);
    cws_buf_commit(&world->content, len);
    cwsd_file_task_give(world->task, memory, len);
}

static void on_done(void *ctx, size_t len)
{
    struct world *world = ctx;
    assert_false(world->done || world->failed);
    world->done = true;
    world->len = len;
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    struct world *world = ctx;
    assert_false(world->done || world->failed);
    world->failed = true;
    world->pool.fault = *fault;
}

static const struct cwsd_file_task_events events = {on_need, on_done, on_failed};

static int set_up_creating(void **state)
{
    pool_set_up(state, sizeof(struct world));
    struct world *world = *state;
    cws_buf_init(&world->content, CWSD_MIB);
    snprintf(world->path, sizeof(world->path), "/tmp/%s", unique_name());
    return 0;
}

static int set_up_running(void **state)
{
    set_up_creating(state);
    struct world *world = *state;
    pool_await_created(&world->pool);
    assert_int_equal(world->pool.sandbox->record.state, CWSD_STATE(RUNNING));
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    cws_buf_done(&world->content);
    unlink(world->path);
    return pool_tear_down(state);
}

static bool begin(struct world *world, const struct cwsd_file_request *request)
{
    world->done = world->failed = false;
    cws_buf_done(&world->content);
    world->pool.fault.code = CWS_GRPC_OK;
    world->task =
        cwsd_file_task_start(world->pool.pool, request, &events, world, &world->pool.fault);
    assert_int_equal(world->task == NULL, cwsd_fault_is_set(&world->pool.fault));
    assert_false(world->done || world->failed); /* never from inside the call */
    return world->task != NULL;
}

static bool begin_read(struct world *world, const char *path)
{
    return begin(world, &(struct cwsd_file_request){
                            .sandbox_id = world->pool.id, .container = "", .path = path});
}

static bool begin_write(struct world *world, const char *path, const char *text)
{
    return begin(world, &(struct cwsd_file_request){.sandbox_id = world->pool.id,
                                                    .container = "main",
                                                    .path = path,
                                                    .writes = true,
                                                    .content = (const uint8_t *)text,
                                                    .len = strlen(text)});
}

static void finish(struct world *world)
{
    RUN_UNTIL(&world->pool, world->done || world->failed);
    cwsd_file_task_free(world->task);
    world->task = NULL;
}

static void expect_done(struct world *world)
{
    finish(world);
    if (world->failed)
        fail_msg("%s", world->pool.fault.message);
}

static void test_write_and_read(void **state)
{
    struct world *world = *state;
    assert_true(begin_write(world, world->path, "some text"));
    expect_done(world);
    assert_true(begin_read(world, world->path));
    expect_done(world);
    assert_int_equal(world->len, 9);
    assert_memory_equal(cws_buf_bytes(&world->content), "some text", 9);
}

static void test_begun_before_the_sandbox_runs(void **state)
{
    struct world *world = *state;
    assert_true(begin_write(world, world->path, "early"));
    expect_done(world);
    assert_int_equal(world->pool.sandbox->record.state, CWSD_STATE(RUNNING));
    assert_true(begin_read(world, world->path));
    expect_done(world);
    assert_memory_equal(cws_buf_bytes(&world->content), "early", 5);
}

static void test_what_is_refused_at_once(void **state)
{
    struct world *world = *state;
    char longest[CWSD_MAX_PATH_BYTES + 2];
    const struct cwsd_file_request fine = {
        .sandbox_id = world->pool.id, .container = "", .path = "/etc/passwd"};
    const struct cwsd_fault *fault = &world->pool.fault;
    struct cwsd_file_request request = fine;
    request.sandbox_id = "sb-nowhere";
    assert_false(begin(world, &request));
    assert_fault(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND, "sb-nowhere");
    request = fine;
    request.container = "sidecar";
    assert_false(begin(world, &request));
    assert_fault(fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST, "\"sidecar\"");
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    request = fine;
    request.path = longest;
    assert_false(begin(world, &request));
    assert_fault(fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_FILE_IO_FAILED, "name too long");
    request = fine;
    request.writes = true;
    request.len = CWSD_MAX_FILE_MESSAGE_BYTES + 1;
    assert_false(begin(world, &request));
    assert_fault(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_TOO_LARGE,
                 "has 103809025 bytes; at most 103809024 can be written");
    assert_int_equal(fault->metadata_count, 3);
    assert_string_equal(fault->metadata[0].value, "103809025");
    assert_string_equal(fault->metadata[1].value, "103809024");
    assert_string_equal(fault->metadata[2].value, "write_file");
    assert_string_equal(fault->filepath, "/etc/passwd");
}

static void test_words(void **state)
{
    static const struct {
        const char *path;
        bool writes;
        enum cws_grpc_code code;
        const char *reason, *text;
    } cases[] = {
        {"", false, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, ": No such file"},
        {"/no/such", false, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND,
         "/no/such: No such file or directory"},
        {"/etc/passwd/x", true, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND,
         "/etc/passwd/x: Not a directory"},
        {"/tmp", true, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FILE_IS_DIRECTORY,
         "/tmp: Is a directory"},
        {"/dev/zero", false, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FILE_IO_FAILED,
         "/dev/zero: is not a regular file"},
        {"/proc/version", true, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_FILE_PERMISSION,
         "/proc/version: Operation not permitted"},
    };
    struct world *world = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        assert_true(cases[i].writes ? begin_write(world, cases[i].path, "x")
                                    : begin_read(world, cases[i].path));
        finish(world);
        assert_true(world->failed);
        const struct cwsd_fault *fault = &world->pool.fault;
        assert_fault(fault, cases[i].code, cases[i].reason, cases[i].text);
        assert_true(fault->is_file);
        assert_string_equal(fault->filepath, cases[i].path);
        assert_string_equal(fault->metadata[0].key, "operation");
        assert_string_equal(fault->metadata[0].value, cases[i].writes ? "write_file" : "read_file");
    }
}

static void test_the_sandbox_never_runs(void **state)
{
    struct world *world = *state;
    assert_true(begin_read(world, "/etc/passwd"));
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    finish(world);
    assert_true(world->failed);
    assert_not_running(&world->pool, "has ended");
}

static void test_freed_while_it_waits(void **state)
{
    struct world *world = *state;
    assert_true(begin_write(world, world->path, "never"));
    cwsd_file_task_free(world->task);
    pool_await_created(&world->pool);
    assert_false(world->done || world->failed);
    assert_int_equal(access(world->path, F_OK), -1);
    cwsd_file_task_free(NULL);
}

static void test_the_sandbox_ends_under_it(void **state)
{
    struct world *world = *state;
    FILE *file = fopen(world->path, "w");
    assert_int_equal(ftruncate(fileno(file), (off_t)CWSD_MIB), 0); /* more than a pipe holds */
    fclose(file);
    world->hold = true;
    assert_true(begin_read(world, world->path));
    RUN_UNTIL(&world->pool, world->needed);
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    finish(world);
    assert_true(world->failed);
    assert_not_running(&world->pool, "ended while the file was read");
}

static void test_the_sandbox_is_ending_or_has_ended(void **state)
{
    struct world *world = *state;
    cwsd_pool_stop(world->pool.sandbox, CWSD_CAUSE_DELETE, 0);
    assert_false(begin_read(world, "/etc/passwd"));
    assert_not_running(&world->pool, "is ending");
    RUN_UNTIL(&world->pool, cwsd_record_is_finished(&world->pool.sandbox->record));
    assert_false(begin_read(world, "/etc/passwd"));
    assert_not_running(&world->pool, "has ended: deleted");
}

static void test_each_allocation_may_fail(void **state)
{
    struct world *world = *state;
    for (size_t n = 1;; n++) {
        cws_alloc_fail_at(n);
        bool begun = begin_write(world, world->path, "x");
        bool reached = failing_was_reached(n);
        assert_int_equal(begun, !reached);
        if (begun) {
            expect_done(world);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(world->pool.fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    }
}

#define WHILE_CREATING(name) cmocka_unit_test_setup_teardown(name, set_up_creating, tear_down)
#define WHILE_RUNNING(name)  cmocka_unit_test_setup_teardown(name, set_up_running, tear_down)

static const struct CMUnitTest tests[] = {
    WHILE_RUNNING(test_write_and_read),
    WHILE_CREATING(test_begun_before_the_sandbox_runs),
    WHILE_RUNNING(test_what_is_refused_at_once),
    WHILE_RUNNING(test_words),
    WHILE_CREATING(test_the_sandbox_never_runs),
    WHILE_CREATING(test_freed_while_it_waits),
    WHILE_RUNNING(test_the_sandbox_ends_under_it),
    WHILE_RUNNING(test_the_sandbox_is_ending_or_has_ended),
    WHILE_RUNNING(test_each_allocation_may_fail),
};

UNIT_MAIN(tests)
