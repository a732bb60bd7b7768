/* sandboxes/pool, pool_restore, keeper: what a pool leaves in the database, and the next one finds;
 * over boxes that the test plays itself. */
#include "support/daemon_help.h"

#include <stdlib.h>
#include <unistd.h>

#include "sandboxes/pool.h"
#include "store/schema.h"
#include "support/failing.h"
#include "support/peer.h"
#include "support/played_boxes.h"

struct world {
    size_t live;
    struct cws_loop *loop;
    struct cwsd_database *database;
    struct cwsd_pool *pool;
    char logs[32]; /* a folder */
};

static void on_empty(void *ctx)
{
    (void)ctx;
}

static enum cws_status try_open_pool(struct world *w, struct cws_error *err)
{
    const struct cwsd_pool_options options = {.loop = w->loop,
                                              .runner_id = "local-here",
                                              .max_sandboxes = 3,
                                              .log_dir = w->logs,
                                              .log_bytes = 1 << 20,
                                              .database = w->database,
                                              .on_empty = on_empty,
                                              .ctx = w};
    return cwsd_pool_new(&options, &w->pool, err);
}

static void open_pool(struct world *w)
{
    struct cws_error err;
    if (try_open_pool(w, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    struct cws_error err;
    w->live = cws_alloc_live();
    strcpy(w->logs, "/tmp/cws-logs-XXXXXX");
    assert_non_null(mkdtemp(w->logs));
    w->loop = loop_open();
    assert_int_equal(cwsd_database_open(NULL, &cwsd_schema, &w->database, &err), CWS_OK);
    cws_list_init(&boxes);
    memset(&refusal, 0, sizeof(refusal));
    open_pool(w);
    *state = w;
    return 0;
}

static void gone(struct world *w, struct cwsd_box *box)
{
    box->events->on_gone(box->ctx, NULL);
    settle(w->loop);
}

static void close_pool(struct world *w)
{
    while (!cws_list_is_empty(&boxes))
        gone(w, cws_list_entry(boxes.next, struct cwsd_box, node));
    cwsd_pool_free(w->pool);
    w->pool = NULL;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    cws_alloc_fail_at(0);
    close_pool(w);
    cwsd_database_close(w->database);
    loop_close(w->loop);
    size_t before = w->live;
    int rc = rmdir(w->logs); /* no log was left */
    test_free(w);
    return rc < 0 ? -1 : before == cws_alloc_live() ? 0 : -1;
}

#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static struct cwsd_sandbox *create(struct world *w, const char *request_id,
                                   struct cwsd_fault *fault)
{
    cwsd_pb_create_request request = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox sandbox = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    cwsd_pb_spec spec;
    cwsd_pb_container container, *containers[1];
    plain_spec(&spec, &container, containers);
    sandbox.spec = &spec;
    request.sandbox = &sandbox;
    request.request_id = (char *)request_id;
    *fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    cwsd_pb_create_request *copy = copy_of(&request);
    struct cwsd_sandbox *made = cwsd_pool_create(w->pool, copy, fault);
    cwsd_wire_free(copy);
    return made;
}

static struct cwsd_box *newest(void)
{
    return cws_list_entry(boxes.prev, struct cwsd_box, node);
}

/* One that has ended with this exit code; its id. */
static const char *create_ended(struct world *w, int exit_code)
{
    static char ids[8][CWSD_ID_SIZE];
    static unsigned next;
    struct cwsd_fault fault;
    struct cwsd_sandbox *made = create(w, "", &fault);
    char *id = ids[next++ % 8];
    assert_non_null(made);
    strcpy(id, made->record.id);
    newest()->events->on_running(newest()->ctx);
    newest()->events->on_exited(newest()->ctx, exit_code);
    gone(w, newest());
    return id;
}

static const struct cwsd_record *find(struct world *w, const char *id)
{
    return cwsd_registry_find(cwsd_pool_registry(w->pool), id);
}

static void make_log(const struct world *w, const char *id, const char *more)
{
    char path[80];
    snprintf(path, sizeof(path), "%s/log-%s%s", w->logs, id, more);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

/* It has to be there. */
static void remove_log(const struct world *w, const char *id)
{
    char path[80];
    snprintf(path, sizeof(path), "%s/log-%s", w->logs, id);
    if (unlink(path) < 0)
        fail_msg("%s was removed already", path);
}

static bool has_log(const struct world *w, const char *id, const char *more)
{
    char path[80];
    snprintf(path, sizeof(path), "%s/log-%s%s", w->logs, id, more);
    return access(path, F_OK) == 0;
}

/* Unlike their records' ends, the ends of pools are none of the logs. */
static void logs_live_as_long_as_their_records(void **state)
{
    struct world *w = *state;
    char first[CWSD_ID_SIZE];
    strcpy(first, create_ended(w, 0));
    make_log(w, first, "");
    for (int i = 0; i < 2; i++) {
        close_pool(w);
        open_pool(w);
        assert_true(has_log(w, first, ""));
    }
    cwsd_pool_registry(w->pool)->max_finished = 1;
    create_ended(w, 0);
    assert_null(find(w, first));
    assert_false(has_log(w, first, ""));
}

static void logs_without_a_record_are_removed(void **state)
{
    /* Files of somebody else: no log is called like that. */
    static const char *const others[] = {
        "",
        "notes",
        ".1",
        "sb-0123456789abcde",
        "sb-0123456789abcdeg",
        "sb-0123456789ABCDEF",
        "sb-0123456789abcdef.",
        "sb-0123456789abcdef.txt",
        "sb-0123456789abcdef.123",
        "sb-0123456789abcdef-old",
        "sb-0123456789abcdef0123456789abcdef",
    };
    struct world *w = *state;
    char id[CWSD_ID_SIZE];
    strcpy(id, create_ended(w, 0));
    make_log(w, id, "");
    make_log(w, "sb-0123456789abcdef", "");
    make_log(w, "sb-0123456789abcdef", ".1");
    make_log(w, "sb-0123456789abcdef", ".15");
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++)
        make_log(w, others[i], "");
    close_pool(w);
    open_pool(w);
    assert_true(has_log(w, id, ""));
    assert_false(has_log(w, "sb-0123456789abcdef", ""));
    assert_false(has_log(w, "sb-0123456789abcdef", ".1"));
    assert_false(has_log(w, "sb-0123456789abcdef", ".15"));
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++)
        remove_log(w, others[i]);
    cwsd_pool_registry(w->pool)->max_finished = 0;
    create_ended(w, 0);
}

static void found_by_the_next(void **state)
{
    struct world *w = *state;
    struct cwsd_fault fault;
    const char *good = create_ended(w, 0), *bad = create_ended(w, 3);
    struct cwsd_sandbox *last = create(w, "again", &fault);
    char id[CWSD_ID_SIZE];
    strcpy(id, last->record.id);
    close_pool(w);
    open_pool(w);
    assert_int_equal(find(w, good)->state, CWSD_STATE(COMPLETED));
    assert_int_equal(find(w, bad)->exit_code, 3);
    assert_int_equal(cwsd_pool_registry(w->pool)->live, 0);
    struct cwsd_sandbox *repeated = create(w, "again", &fault);
    assert_string_equal(repeated->record.id, id);
    assert_true(cws_list_is_empty(&boxes)); /* nothing was started */
    cwsd_pool_delete(repeated, 0);
    close_pool(w);
    open_pool(w);
    assert_true(find(w, id)->deleted);
    const char *newer = create_ended(w, 0);
    const struct cws_list *end = cwsd_pool_registry(w->pool)->all.prev;
    assert_string_equal(cws_list_entry(end, struct cwsd_record, in_all)->id, newer);
    assert_int_equal(cwsd_pool_registry(w->pool)->finished_count, 4);
}

static void forgotten_beyond_the_bounds(void **state)
{
    struct world *w = *state;
    cwsd_pool_registry(w->pool)->max_finished = 2;
    const char *first = create_ended(w, 0), *second = create_ended(w, 0),
               *third = create_ended(w, 0);
    assert_null(find(w, first));
    close_pool(w);
    open_pool(w);
    assert_null(find(w, first));
    assert_non_null(find(w, second));
    assert_non_null(find(w, third));
}

static void what_cannot_be_started_is_not_kept(void **state)
{
    struct world *w = *state;
    struct cwsd_fault fault;
    cws_error_set(&refusal, CWS_SYSTEM, "no more of these");
    assert_null(create(w, "", &fault));
    assert_int_equal(fault.code, CWS_GRPC_UNAVAILABLE);
    close_pool(w);
    open_pool(w);
    assert_int_equal(cwsd_pool_registry(w->pool)->finished_count, 0);
}

/* A start that fails for want of memory loses nothing. */
static void out_of_memory(void **state)
{
    struct world *w = *state;
    struct cws_error err;
    const char *first = create_ended(w, 0), *second = create_ended(w, 3);
    close_pool(w);
    for (size_t n = 1;; n++) {
        cws_alloc_fail_at(n);
        enum cws_status status = try_open_pool(w, &err);
        bool more = failing_was_reached(n);
        assert_true(status == CWS_OK || !w->pool);
        if (!more)
            break;
        close_pool(w);
    }
    assert_int_equal(find(w, first)->state, CWSD_STATE(COMPLETED));
    assert_int_equal(find(w, second)->exit_code, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(found_by_the_next),
        POOL_TEST(logs_live_as_long_as_their_records),
        POOL_TEST(logs_without_a_record_are_removed),
        POOL_TEST(forgotten_beyond_the_bounds),
        POOL_TEST(what_cannot_be_started_is_not_kept),
        POOL_TEST(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
