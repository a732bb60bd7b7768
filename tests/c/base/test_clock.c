/* base/clock: deadlines from whatever number a person gives. */
#include "support/unit.h"

#include <math.h>

#include "base/clock.h"

static void test_time_does_not_go_back(void **state)
{
    (void)state;
    uint64_t before = cws_clock_now_ns();
    assert_true(before > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = cws_clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

/* The deadline is `timeout_s` after some moment between the call and its return. */
static void assert_in(double timeout_s, uint64_t offset_ns)
{
    uint64_t before = cws_clock_now_ns();
    uint64_t deadline = cws_clock_deadline_ns(timeout_s);
    uint64_t after = cws_clock_now_ns();
    assert_true(deadline >= before + offset_ns);
    assert_true(deadline <= after + offset_ns);
}

static void test_deadlines(void **state)
{
    (void)state;
    assert_in(1.0, CWS_NS_PER_S);
    assert_in(0.25, CWS_NS_PER_S / 4);
    assert_in(86400.0, 86400 * CWS_NS_PER_S);
    assert_in(1e-9, 1);
}

static void test_nothing_negative_and_no_number_mean_now(void **state)
{
    (void)state;
    assert_in(0.0, 0);
    assert_in(-0.0, 0);
    assert_in(-5.0, 0);
    assert_in(-INFINITY, 0);
    assert_in(NAN, 0);
}

static void test_too_large_means_never(void **state)
{
    (void)state;
    assert_true(cws_clock_deadline_ns(INFINITY) == CWS_NO_DEADLINE);
    assert_true(cws_clock_deadline_ns(1e300) == CWS_NO_DEADLINE);
    assert_true(cws_clock_deadline_ns(18446744073.709551615) == CWS_NO_DEADLINE);
    assert_true(cws_clock_deadline_ns(1e9) < CWS_NO_DEADLINE); /* 31 years are a deadline */
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_time_does_not_go_back),
    UNIT_TEST(test_deadlines),
    UNIT_TEST(test_nothing_negative_and_no_number_mean_now),
    UNIT_TEST(test_too_large_means_never),
};

UNIT_MAIN(tests)
