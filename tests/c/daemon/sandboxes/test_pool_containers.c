/* cwsandboxd/pool, container, tenant: a sandbox of several containers over boxes that the test
 * plays itself. */
#include "support/played_containers.h"

#include "sandboxes/command.h"
#include "sandboxes/tenant.h"

/* ---- to run --------------------------------------------------------------------------------- */

static void it_runs_when_all_do(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create(w);
    static const size_t order[] = {2, 1, 0};
    for (size_t i = 0; i < CONTAINERS; i++) {
        assert_string_equal(box_at(i)->command, w->containers[i].name);
        assert_string_equal(box_at(i)->id, sandbox->record.id);
    }
    for (size_t i = 0; i < CONTAINERS; i++) {
        assert_int_equal(sandbox->record.state, CWSD_STATE(CREATING));
        assert_int_equal(state_of(sandbox, order[i]), CWSD_STATE(CREATING));
        runs(order[i]);
        assert_int_equal(state_of(sandbox, order[i]), CWSD_STATE(RUNNING));
    }
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
    assert_true(sandbox->record.started.tv_sec != 0);
}

/* A job that is done before the others have come up. */
static void one_that_ends_early(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    exits(0, 0);
    goes(w, 0, NULL);
    assert_int_equal(state_of(sandbox, 0), CWSD_STATE(COMPLETED));
    assert_int_equal(sandbox->record.state, CWSD_STATE(CREATING));
    runs(1);
    runs(2);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

static void one_that_never_runs(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create(w);
    runs(PRIMARY);
    goes(w, 2, "the main command \"db\": No such file or directory");
    assert_int_equal(sandbox->record.state, CWSD_STATE(CREATING));
    assert_int_equal(box_at(0)->stops, 1);
    assert_int_equal(box_at(PRIMARY)->grace_ms, 0);
    exits(PRIMARY, 137);
    goes(w, PRIMARY, NULL);
    goes(w, 0, "stopped before its main command ran");
    assert_int_equal(sandbox->record.state, CWSD_STATE(FAILED));
    assert_string_equal(sandbox->record.reason,
                        "container db: the main command \"db\": No such file or directory");
    assert_false(sandbox->record.has_exit_code);
    assert_int_equal(state_of(sandbox, 2), CWSD_STATE(FAILED));
    assert_int_equal(state_of(sandbox, PRIMARY), CWSD_STATE(TERMINATED));
    assert_int_equal(freed_boxes, CONTAINERS);
}

static void one_that_cannot_be_started(void **state)
{
    struct played_world *w = *state;
    cws_error_set(&refusal, CWS_SYSTEM, "no processes left");
    assert_null(create(w)); /* nothing at all was */
    assert_int_equal(w->fault.code, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(rooms, 0);
    boxes_until_refusal = 1;
    struct cwsd_sandbox *sandbox = create(w);
    assert_int_equal(sandbox->record.state, CWSD_STATE(CREATING));
    assert_int_equal(box_at(0)->stops, 1);
    goes(w, 0, "stopped before its main command ran");
    assert_int_equal(sandbox->record.state, CWSD_STATE(FAILED));
    assert_non_null(strstr(sandbox->record.reason, "container web: "));
    assert_non_null(strstr(sandbox->record.reason, "no processes left"));
    refusal.status = CWS_OK;
    cws_error_set(&room_refusal, CWS_SYSTEM, "no user is left");
    assert_null(create(w));
    assert_int_equal(w->fault.code, CWS_GRPC_UNAVAILABLE);
    assert_non_null(strstr(w->fault.message, "no user is left"));
}

static void create_without_memory(void **state)
{
    struct played_world *w = *state;
    bool whole = false;
    for (size_t n = 1; !whole; n++) {
        struct cwsd_sandbox *made = create_failing(w, n);
        whole = made && !made->broken;
        if (made && made->broken)
            all_go(w);
    }
    assert_int_equal(cwsd_pool_registry(w->pool)->live, 1);
}

/* ---- to end --------------------------------------------------------------------------------- */

static void a_sidecar_ends_alone(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    exits(0, 0);
    goes(w, 0, NULL);
    exits(2, 3);
    goes(w, 2, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
    assert_int_equal(state_of(sandbox, 0), CWSD_STATE(COMPLETED));
    assert_int_equal(state_of(sandbox, 2), CWSD_STATE(FAILED));
    assert_int_equal(sandbox->record.rows[2].exit_code, 3);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 100);
    assert_int_equal(box_at(0)->stops + box_at(2)->stops, 0);
    exits(PRIMARY, 143);
    goes(w, PRIMARY, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATED));
    assert_int_equal(state_of(sandbox, 2), CWSD_STATE(FAILED));
}

static void a_sidecar_breaks_alone(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    goes(w, 0, "its init broke");
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
    assert_int_equal(state_of(sandbox, 0), CWSD_STATE(FAILED));
    assert_string_equal(sandbox->record.reason, "");
}

static void the_primary_ends_all(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    exits(PRIMARY, 4);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATING));
    assert_int_equal(sandbox->record.exit_code, 4);
    assert_int_equal(box_at(0)->grace_ms, CWSD_SIDECAR_GRACE_S * 1000);
    assert_int_equal(box_at(2)->stops, 1);
    assert_int_equal(box_at(PRIMARY)->stops, 0);
    goes(w, PRIMARY, NULL);
    exits(0, 0);
    goes(w, 0, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATING));
    exits(2, 143);
    goes(w, 2, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(FAILED));
    assert_int_equal(state_of(sandbox, 0), CWSD_STATE(COMPLETED));
    assert_int_equal(state_of(sandbox, PRIMARY), CWSD_STATE(FAILED));
    assert_int_equal(state_of(sandbox, 2), CWSD_STATE(TERMINATED));
}

static void the_primary_breaks(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    goes(w, PRIMARY, "its init broke");
    assert_int_equal(box_at(0)->stops, 1);
    assert_int_equal(box_at(0)->grace_ms, 0);
    goes(w, 0, NULL);
    goes(w, 2, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(FAILED));
    assert_string_equal(sandbox->record.reason, "container web: its init broke");
}

/* All have the grace period that was asked for, whoever ends first. */
static void stopping(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 60000);
    exits(PRIMARY, 0);
    for (size_t i = 0; i < CONTAINERS; i++) {
        assert_int_equal(box_at(i)->stops, 1);
        assert_int_equal(box_at(i)->grace_ms, 60000);
    }
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 0);
    assert_int_equal(box_at(2)->grace_ms, 0);
    for (size_t i = 0; i < CONTAINERS; i++)
        goes(w, i, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(COMPLETED));
}

/* ---- names ---------------------------------------------------------------------------------- */

static void containers_by_name(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    const char *id = sandbox->record.id;
    assert_ptr_equal(cwsd_tenant_find(w->pool, id, "", &w->fault), &sandbox->containers[PRIMARY]);
    for (size_t i = 0; i < CONTAINERS; i++)
        assert_ptr_equal(cwsd_tenant_find(w->pool, id, w->containers[i].name, &w->fault),
                         &sandbox->containers[i]);
    static const char *const others[] = {"main", "we", "web2", "Web", " "};
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++) {
        assert_null(cwsd_tenant_find(w->pool, id, others[i], &w->fault));
        assert_invalid(&w->fault, "container");
        assert_non_null(strstr(w->fault.message, others[i]));
        assert_non_null(strstr(w->fault.message, "\"cache\", \"web\", \"db\""));
    }
}

static bool began(struct cwsd_tenant *tenant, struct cwsd_box *box, struct cwsd_fault *fault)
{
    (void)tenant, (void)fault;
    assert_ptr_equal(box, box_at(0));
    return true;
}

static void nothing_begins_in_one_that_has_ended(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    struct cwsd_tenant tenant = {.begin = began};
    assert_true(cwsd_tenant_enter(&tenant, &sandbox->containers[0], &w->fault));
    exits(0, 7);
    assert_false(cwsd_tenant_enter(&tenant, &sandbox->containers[0], &w->fault));
    assert_string_equal(w->fault.reason, CWSD_REASON_SANDBOX_NOT_RUNNING);
    assert_non_null(strstr(w->fault.message, "\"cache\" has ended with exit code 7"));
}

/* ---- what it uses --------------------------------------------------------------------------- */

static void complete(struct cwsd_usage_look *look)
{
    (void)look;
}

static void usage_is_of_all(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create_running(w);
    struct cwsd_usage_look look = {.complete = complete};
    struct cwsd_usage_reader reader;
    const struct cwsi_usage report = {.pages = 500};
    assert_true(cwsd_usage_join(&sandbox->usage, cws_clock_now_ns(), &look, &reader));
    cwsd_usage_ask(&reader, cws_clock_now_ns());
    for (size_t i = 0; i < CONTAINERS; i++)
        assert_int_equal(box_at(i)->asked, 1);
    box_at(2)->events->on_usage(box_at(2)->ctx, &report);
    exits(0, 0); /* without an answer */
    assert_int_equal(look.due, 1);
    box_at(PRIMARY)->events->on_usage(box_at(PRIMARY)->ctx, &report);
    assert_int_equal(look.due, 0);
    assert_true(sandbox->usage.known);
    assert_int_equal(sandbox->usage.memory_mb, (1000 * sysconf(_SC_PAGESIZE) + 500000) / 1000000);
    assert_int_equal(cwsd_pool_execs(sandbox).started, CONTAINERS); /* each has been asked once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(it_runs_when_all_do),    POOL_TEST(one_that_ends_early),
        POOL_TEST(one_that_never_runs),    POOL_TEST(one_that_cannot_be_started),
        POOL_TEST(create_without_memory),  POOL_TEST(a_sidecar_ends_alone),
        POOL_TEST(a_sidecar_breaks_alone), POOL_TEST(the_primary_ends_all),
        POOL_TEST(the_primary_breaks),     POOL_TEST(stopping),
        POOL_TEST(containers_by_name),     POOL_TEST(nothing_begins_in_one_that_has_ended),
        POOL_TEST(usage_is_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
