/* cwsandboxd/pool_order: the order in which containers start, over boxes and health checks that the
 * test plays itself. */
#include "support/played_containers.h"

#define CACHE 0
#define WEB   1 /* the primary one */
#define DB    2

/* A day: no test sees a second check, or the end of one. */
#define LONG_NS (86400 * CWS_NS_PER_S)

static int set_up_planned(void **state)
{
    set_up(state);
    struct played_world *w = *state;
    w->plan = cwsd_plan_new(CONTAINERS);
    assert_non_null(w->plan);
    return 0;
}

#define ORDER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_planned, tear_down)

static void needs(struct played_world *w, size_t at, enum cwsd_need need, size_t other)
{
    w->plan->rows[at].needs[need] |= 1u << other;
}

static void has_check(struct played_world *w, size_t at)
{
    struct cwsd_plan_row *row = &w->plan->rows[at];
    row->check = cws_calloc(2, sizeof(*row->check));
    assert_non_null(row->check);
    row->check[0] = cws_strdup("probe");
    assert_non_null(row->check[0]);
    row->check_count = 1;
    row->interval_ns = row->timeout_ns = LONG_NS;
    row->retries = 1;
}

/* Which containers have been started, in this order. */
static void assert_started(const char *names)
{
    char started[1000] = "";
    size_t len = 0;
    for (struct cws_list *node = boxes.next; node != &boxes; node = node->next)
        len += (size_t)snprintf(started + len, sizeof(started) - len, "%s%s", len ? " " : "",
                                cws_list_entry(node, struct cwsd_box, node)->command);
    assert_string_equal(started, names);
}

static void is_checked(struct played_world *w)
{
    settle(w->loop); /* the check starts */
    assert_non_null(last_exec);
    assert_string_equal(last_exec->command, "probe");
}

static void check_ends(struct played_world *w, int exit_code)
{
    is_checked(w);
    last_exec->events->on_exited(last_exec->ctx, exit_code);
}

static void assert_creating(const struct cwsd_sandbox *sandbox)
{
    assert_int_equal(sandbox->record.state, CWSD_STATE(CREATING));
}

static void assert_broken(const struct cwsd_sandbox *sandbox, const char *reason)
{
    assert_int_equal(sandbox->record.state, CWSD_STATE(FAILED));
    assert_string_equal(sandbox->record.reason, reason);
}

/* ---- to start ------------------------------------------------------------------------------- */

static void without_needs_all_start_at_once(void **state)
{
    struct played_world *w = *state;
    struct cwsd_sandbox *sandbox = create(w);
    assert_started("cache web db");
    for (size_t i = 0; i < CONTAINERS; i++)
        runs(i);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

/* The last container of the spec comes first. */
static void one_waits_until_another_runs(void **state)
{
    struct played_world *w = *state;
    needs(w, CACHE, CWSD_NEED_STARTED, WEB);
    needs(w, WEB, CWSD_NEED_STARTED, DB);
    struct cwsd_sandbox *sandbox = create(w);
    assert_started("db");
    runs(0);
    assert_started("db web");
    assert_creating(sandbox);
    runs(1);
    assert_started("db web cache");
    assert_creating(sandbox);
    runs(2);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

/* It is enough that it has run. */
static void one_that_has_ended_was_started(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_STARTED, CACHE);
    needs(w, WEB, CWSD_NEED_STARTED, DB);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    exits(0, 1); /* nobody needs its success */
    goes(w, 0, NULL);
    assert_started("cache db");
    runs(1);
    assert_started("cache db web");
    runs(2);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

static void one_waits_for_anothers_health(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_HEALTHY, DB);
    has_check(w, DB);
    struct cwsd_sandbox *sandbox = create(w);
    assert_started("cache db");
    runs(0);
    runs(1);
    is_checked(w);
    assert_started("cache db");
    check_ends(w, 0);
    assert_started("cache db web");
    assert_creating(sandbox);
    runs(2);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

/* Also when none waits for it: the sandbox counts as running once it is healthy. */
static void the_sandbox_waits_for_health(void **state)
{
    struct played_world *w = *state;
    has_check(w, WEB);
    struct cwsd_sandbox *sandbox = create(w);
    for (size_t i = 0; i < CONTAINERS; i++)
        runs(i);
    is_checked(w);
    assert_creating(sandbox);
    check_ends(w, 0);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
}

static void one_waits_for_anothers_success(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_SUCCESS, CACHE);
    needs(w, WEB, CWSD_NEED_STARTED, DB);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    assert_started("cache db");
    exits(0, 0);
    assert_started("cache db web");
    goes(w, 0, NULL);
    runs(2);
    assert_int_equal(sandbox->record.state, CWSD_STATE(RUNNING));
    assert_int_equal(state_of(sandbox, CACHE), CWSD_STATE(COMPLETED));
}

/* ---- to fail -------------------------------------------------------------------------------- */

/* What waits is never started, and what runs is stopped at once. */
static void a_success_that_does_not_come(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_SUCCESS, CACHE);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    exits(0, 3);
    assert_started("cache db");
    assert_int_equal(box_at(1)->stops, 1);
    assert_int_equal(box_at(1)->grace_ms, 0);
    goes(w, 0, NULL);
    assert_creating(sandbox);
    goes(w, 1, NULL);
    assert_broken(sandbox, "container cache: ended with exit code 3, and others need its success");
    assert_int_equal(state_of(sandbox, CACHE), CWSD_STATE(FAILED));
    assert_int_equal(state_of(sandbox, WEB), CWSD_STATE(TERMINATED));
    assert_int_equal(state_of(sandbox, DB), CWSD_STATE(TERMINATED));
}

/* Its init broke: there is no exit code. */
static void one_that_is_awaited_breaks(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_SUCCESS, CACHE);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    goes(w, 0, "its init broke");
    assert_int_equal(box_at(1)->stops, 1);
    goes(w, 1, NULL);
    assert_broken(sandbox, "container cache: its init broke");
    assert_int_equal(state_of(sandbox, WEB), CWSD_STATE(TERMINATED));
}

/* Not even with success: it cannot become healthy any more. */
static void one_ends_before_it_is_healthy(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_HEALTHY, DB);
    has_check(w, DB);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    is_checked(w);
    exits(1, 0);
    assert_null(last_exec); /* the check is over, too */
    assert_started("cache db");
    goes(w, 1, NULL);
    goes(w, 0, NULL);
    assert_broken(sandbox, "container db: ended with exit code 0 before it was healthy");
    assert_int_equal(state_of(sandbox, DB), CWSD_STATE(COMPLETED));
}

static void one_is_not_healthy(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_HEALTHY, DB);
    has_check(w, DB);
    w->plan->rows[DB].interval_ns = 0; /* the first failure counts */
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    check_ends(w, 1);
    assert_int_equal(box_at(0)->stops, 1);
    assert_int_equal(box_at(1)->stops, 1);
    goes(w, 1, NULL);
    goes(w, 0, NULL);
    assert_started("");
    assert_broken(sandbox, "container db: its health check has failed 1 times; at last it ended "
                           "with 1");
}

static void one_cannot_be_started(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_STARTED, CACHE);
    needs(w, DB, CWSD_NEED_STARTED, WEB);
    struct cwsd_sandbox *sandbox = create(w);
    cws_error_set(&refusal, CWS_SYSTEM, "no processes left");
    runs(0);
    assert_started("cache");
    assert_int_equal(box_at(0)->stops, 1);
    goes(w, 0, NULL);
    assert_broken(sandbox, "container web: the sandbox cannot be started: no processes left");
    assert_int_equal(state_of(sandbox, WEB), CWSD_STATE(FAILED));
    assert_int_equal(state_of(sandbox, DB), CWSD_STATE(TERMINATED));
}

/* Nothing of the sandbox is kept then. */
static void the_first_cannot_be_started(void **state)
{
    struct played_world *w = *state;
    needs(w, CACHE, CWSD_NEED_STARTED, DB);
    cws_error_set(&refusal, CWS_SYSTEM, "no processes left");
    assert_null(create(w));
    assert_int_equal(w->fault.code, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(rooms, 0);
    assert_int_equal(cwsd_pool_registry(w->pool)->live, 0);
}

static void without_memory(void **state)
{
    struct played_world *w = *state;
    bool whole = false;
    for (size_t n = 1; !whole; n++) {
        if (!w->plan)
            w->plan = cwsd_plan_new(CONTAINERS);
        assert_non_null(w->plan);
        needs(w, CACHE, CWSD_NEED_STARTED, DB);
        struct cwsd_sandbox *made = create_failing(w, n);
        whole = made && !made->broken;
        if (made && made->broken)
            all_go(w);
    }
    assert_started("web db");
}

/* ---- to be stopped -------------------------------------------------------------------------- */

static void stopped_while_some_wait(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_STARTED, CACHE);
    needs(w, DB, CWSD_NEED_SUCCESS, CACHE);
    struct cwsd_sandbox *sandbox = create(w);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 500);
    runs(0); /* it was on its way already */
    assert_started("cache");
    exits(0, 0);
    assert_started("cache");
    goes(w, 0, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATED));
    assert_int_equal(state_of(sandbox, CACHE), CWSD_STATE(COMPLETED));
    assert_int_equal(state_of(sandbox, WEB), CWSD_STATE(TERMINATED));
    assert_int_equal(state_of(sandbox, DB), CWSD_STATE(TERMINATED));
}

static void stopped_while_one_is_checked(void **state)
{
    struct played_world *w = *state;
    needs(w, WEB, CWSD_NEED_HEALTHY, DB);
    has_check(w, DB);
    struct cwsd_sandbox *sandbox = create(w);
    runs(0);
    runs(1);
    is_checked(w);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, 500);
    check_ends(w, 0); /* too late */
    assert_started("cache db");
    goes(w, 0, NULL);
    goes(w, 1, NULL);
    assert_int_equal(sandbox->record.state, CWSD_STATE(TERMINATED));
    assert_string_equal(sandbox->record.reason, "deleted");
}

static const struct CMUnitTest tests[] = {
    ORDER_TEST(without_needs_all_start_at_once),
    ORDER_TEST(one_waits_until_another_runs),
    ORDER_TEST(one_that_has_ended_was_started),
    ORDER_TEST(one_waits_for_anothers_health),
    ORDER_TEST(the_sandbox_waits_for_health),
    ORDER_TEST(one_waits_for_anothers_success),
    ORDER_TEST(a_success_that_does_not_come),
    ORDER_TEST(one_that_is_awaited_breaks),
    ORDER_TEST(one_ends_before_it_is_healthy),
    ORDER_TEST(one_is_not_healthy),
    ORDER_TEST(one_cannot_be_started),
    ORDER_TEST(the_first_cannot_be_started),
    ORDER_TEST(without_memory),
    ORDER_TEST(stopped_while_some_wait),
    ORDER_TEST(stopped_while_one_is_checked),
};

UNIT_MAIN(tests)
