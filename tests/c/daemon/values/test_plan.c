/* cwsandboxd/values/plan: circles in the order of containers. */
#include "support/daemon_help.h"

#include "values/plan.h"

static struct cwsd_plan *make(size_t count)
{
    struct cwsd_plan *plan = cwsd_plan_new(count);
    assert_non_null(plan);
    return plan;
}

static void needs(struct cwsd_plan *plan, size_t at, enum cwsd_need need, size_t other)
{
    plan->rows[at].needs[need] |= 1u << other;
}

static void assert_circle(struct cwsd_plan *plan, int at)
{
    assert_int_equal(cwsd_plan_find_circle(plan), at);
    cwsd_plan_free(plan);
}

static void without_a_circle(void **state)
{
    (void)state;
    assert_circle(make(0), -1);
    assert_circle(make(1), -1);
    assert_circle(make(CWSD_MAX_CONTAINERS), -1);
    /* A chain in which each waits for the next one, so that each round settles one alone. */
    struct cwsd_plan *chain = make(CWSD_MAX_CONTAINERS);
    for (size_t i = 0; i + 1 < chain->count; i++)
        needs(chain, i, (enum cwsd_need)(i % CWSD_NEEDS), i + 1);
    assert_circle(chain, -1);
    struct cwsd_plan *all = make(CWSD_MAX_CONTAINERS);
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < i; j++)
            needs(all, i, CWSD_NEED_SUCCESS, j);
    assert_circle(all, -1);
}

static void by_way_of_different_needs(void **state)
{
    (void)state;
    struct cwsd_plan *plan = make(4);
    needs(plan, 1, CWSD_NEED_STARTED, 2);
    needs(plan, 2, CWSD_NEED_HEALTHY, 3);
    needs(plan, 3, CWSD_NEED_SUCCESS, 1);
    assert_circle(plan, 1);
}

static void of_one_alone(void **state)
{
    (void)state;
    struct cwsd_plan *plan = make(3);
    needs(plan, 2, CWSD_NEED_STARTED, 2);
    assert_circle(plan, 2);
}

static void of_all(void **state)
{
    (void)state;
    struct cwsd_plan *plan = make(CWSD_MAX_CONTAINERS);
    for (size_t i = 0; i < plan->count; i++)
        needs(plan, i, CWSD_NEED_STARTED, (i + 1) % plan->count);
    assert_circle(plan, 0);
}

static void freed_with_its_checks(void **state)
{
    (void)state;
    struct cwsd_plan *plan = make(2);
    plan->rows[1].check = cws_calloc(2, sizeof(char *));
    assert_non_null(plan->rows[1].check);
    plan->rows[1].check[0] = cws_strdup("probe");
    plan->rows[1].check_count = 1;
    cwsd_plan_free(plan);
    cwsd_plan_free(NULL);
    cws_alloc_fail_at(1);
    assert_null(cwsd_plan_new(1));
}

static const struct CMUnitTest tests[] = {
    CWSD_TEST(without_a_circle), CWSD_TEST(by_way_of_different_needs), CWSD_TEST(of_one_alone),
    CWSD_TEST(of_all),           CWSD_TEST(freed_with_its_checks),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
