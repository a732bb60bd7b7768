/* cwsandboxd/health: checks that the test plays itself, by a clock that it puts forward. */
#include "support/peer.h"

#include "sandboxes/health.h"
#include "support/fake_clock.h"
#include "support/played_boxes.h"

/* In minutes: no test lasts as long as one. */
#define INTERVAL 10
#define TIMEOUT  4
#define RETRIES  3
#define MINUTE   (60 * CWS_NS_PER_S)

struct world {
    size_t live;
    struct cws_loop *loop;
    struct cwsd_box box;
    struct cwsd_plan_row plan;
    struct cwsd_health health;
    unsigned passed, failed;
    char why[160];
};

static void on_passed(struct cwsd_health *health)
{
    struct world *w = health->ctx;
    assert_true(health->healthy);
    w->passed++;
}

static void on_failed(struct cwsd_health *health, const char *why)
{
    struct world *w = health->ctx;
    assert_false(health->healthy);
    w->failed++;
    snprintf(w->why, sizeof(w->why), "%s", why);
}

static int set_up(void **state)
{
    static char *check[] = {(char *)"probe", (char *)"--quick", NULL};
    struct world *w = test_calloc(1, sizeof(*w));
    w->live = cws_alloc_live();
    w->loop = loop_open();
    w->plan = (struct cwsd_plan_row){.check = check,
                                     .check_count = 2,
                                     .interval_ns = INTERVAL * MINUTE,
                                     .timeout_ns = TIMEOUT * MINUTE,
                                     .retries = RETRIES};
    w->health = (struct cwsd_health){
        .plan = &w->plan, .loop = w->loop, .ctx = w, .passed = on_passed, .failed = on_failed};
    memset(&refusal, 0, sizeof(refusal));
    last_exec = NULL;
    freed_execs = 0;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    cws_alloc_fail_at(0);
    cwsd_health_end(&w->health);
    loop_close(w->loop);
    size_t before = w->live;
    test_free(w);
    return before == cws_alloc_live() ? 0 : -1;
}

#define HEALTH_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void advance(struct world *w, unsigned minutes)
{
    fake_clock_advance(w->loop, minutes * MINUTE);
}

/* Its first check runs at once, but not from inside the call. */
static void begin(struct world *w)
{
    cwsd_health_begin(&w->health, &w->box);
    assert_null(last_exec);
    advance(w, 0);
}

static void ends_with(int exit_code)
{
    assert_non_null(last_exec);
    last_exec->events->on_exited(last_exec->ctx, exit_code);
    assert_null(last_exec); /* it is freed: nothing of a check is left when it is over */
}

/* The check that runs fails, and the next one begins an interval later. */
static void fails_and_goes_on(struct world *w, int exit_code)
{
    ends_with(exit_code);
    advance(w, INTERVAL - 1);
    assert_null(last_exec);
    advance(w, 1);
    assert_non_null(last_exec);
    assert_int_equal(w->failed, 0);
}

static void assert_over(struct world *w)
{
    unsigned passed = w->passed, failed = w->failed;
    assert_null(last_exec);
    assert_null(w->health.box);
    advance(w, 24 * 60);
    assert_null(last_exec);
    assert_int_equal(w->passed, passed);
    assert_int_equal(w->failed, failed);
}

static void assert_has_failed(struct world *w, const char *why)
{
    assert_int_equal(w->failed, 1);
    assert_string_equal(w->why, why);
    assert_over(w);
    assert_int_equal(w->passed, 0);
}

static void it_passes_once(void **state)
{
    struct world *w = *state;
    begin(w);
    assert_string_equal(last_exec->command, "probe|--quick");
    assert_string_equal(last_exec->environment, "");
    assert_false(last_exec->with_stdin);
    assert_int_equal(w->passed, 0);
    ends_with(0);
    assert_int_equal(w->passed, 1);
    assert_over(w);
    assert_int_equal(w->failed, 0);
    assert_int_equal(freed_execs, 1);
}

static void it_passes_after_failures(void **state)
{
    struct world *w = *state;
    begin(w);
    fails_and_goes_on(w, 1);  /* comes early: it does not count */
    fails_and_goes_on(w, 2);  /* the first one */
    fails_and_goes_on(w, 77); /* the second one of three */
    ends_with(0);
    assert_int_equal(w->passed, 1);
    assert_over(w);
}

static void it_fails_too_often(void **state)
{
    struct world *w = *state;
    begin(w);
    for (int i = 0; i < RETRIES; i++)
        fails_and_goes_on(w, 1);
    ends_with(3);
    assert_has_failed(w, "its health check has failed 3 times; at last it ended with 3");
}

static void failures_of_the_start_period_do_not_count(void **state)
{
    struct world *w = *state;
    w->plan.start_period_ns = 60 * MINUTE;
    begin(w);
    for (int i = 0; i < 6; i++) /* at 0, 10, … 50 minutes */
        fails_and_goes_on(w, 1);
    assert_int_equal(w->health.failures, 0);
    for (int i = 1; i < RETRIES; i++) /* from 60 on */
        fails_and_goes_on(w, 1);
    ends_with(9);
    assert_has_failed(w, "its health check has failed 3 times; at last it ended with 9");
}

static void a_check_that_takes_too_long(void **state)
{
    struct world *w = *state;
    w->plan.retries = 1;
    begin(w);
    advance(w, TIMEOUT - 1);
    assert_non_null(last_exec);
    advance(w, 1);
    assert_null(last_exec); /* killed */
    assert_int_equal(freed_execs, 1);
    advance(w, INTERVAL);
    assert_non_null(last_exec);
    advance(w, TIMEOUT);
    assert_has_failed(w, "its health check has failed 1 times; at last it took too long");
}

/* Neither an answer in time nor a failure leaves its time limit behind. */
static void the_limit_is_of_one_check(void **state)
{
    struct world *w = *state;
    w->plan.timeout_ns = 2 * w->plan.interval_ns;
    begin(w);
    advance(w, INTERVAL);
    fails_and_goes_on(w, 1);
    advance(w, 2 * INTERVAL - 1);
    assert_non_null(last_exec);
    ends_with(0);
    assert_int_equal(w->passed, 1);
}

static void a_check_that_cannot_be_started(void **state)
{
    struct world *w = *state;
    w->plan.retries = 2;
    cws_error_set(&refusal, CWS_TOO_LARGE, "too many commands");
    begin(w);
    advance(w, INTERVAL);
    assert_int_equal(w->failed, 0);
    advance(w, INTERVAL);
    assert_has_failed(w, "its health check has failed 2 times; at last it could not be run");
}

static void a_check_that_breaks(void **state)
{
    struct world *w = *state;
    struct cws_error err;
    cws_error_set(&err, CWS_PROTOCOL, "its init broke");
    w->plan.retries = 1;
    begin(w);
    last_exec->events->on_failed(last_exec->ctx, &err);
    assert_null(last_exec);
    advance(w, INTERVAL);
    last_exec->events->on_failed(last_exec->ctx, &err);
    assert_has_failed(w, "its health check has failed 1 times; at last it could not be run");
}

static void what_a_check_writes_does_not_matter(void **state)
{
    struct world *w = *state;
    begin(w);
    last_exec->events->on_started(last_exec->ctx);
    last_exec->events->on_output(last_exec->ctx, true, (const uint8_t *)"bad\n", 4);
    last_exec->events->on_stdin_drained(last_exec->ctx);
    assert_int_equal(w->passed + w->failed, 0);
    ends_with(0);
    assert_int_equal(w->passed, 1);
}

static void ended_while_a_check_runs(void **state)
{
    struct world *w = *state;
    begin(w);
    cwsd_health_end(&w->health);
    assert_int_equal(freed_execs, 1);
    cwsd_health_end(&w->health);
    assert_int_equal(freed_execs, 1);
    assert_over(w);
    assert_int_equal(w->passed + w->failed, 0);
}

static void ended_between_checks(void **state)
{
    struct world *w = *state;
    cwsd_health_end(&w->health); /* there were none yet */
    begin(w);
    ends_with(1);
    cwsd_health_end(&w->health);
    assert_over(w);
    assert_int_equal(w->passed + w->failed, 0);
}

static void no_memory_for_its_timer(void **state)
{
    struct world *w = *state;
    cws_alloc_fail_at(1);
    cwsd_health_begin(&w->health, &w->box);
    cws_alloc_fail_at(0);
    assert_has_failed(w, "there is no memory to check its health");
}

static const struct CMUnitTest tests[] = {
    HEALTH_TEST(it_passes_once),
    HEALTH_TEST(it_passes_after_failures),
    HEALTH_TEST(it_fails_too_often),
    HEALTH_TEST(failures_of_the_start_period_do_not_count),
    HEALTH_TEST(a_check_that_takes_too_long),
    HEALTH_TEST(the_limit_is_of_one_check),
    HEALTH_TEST(a_check_that_cannot_be_started),
    HEALTH_TEST(a_check_that_breaks),
    HEALTH_TEST(what_a_check_writes_does_not_matter),
    HEALTH_TEST(ended_while_a_check_runs),
    HEALTH_TEST(ended_between_checks),
    HEALTH_TEST(no_memory_for_its_timer),
};

UNIT_MAIN(tests)
