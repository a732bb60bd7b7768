/* Which limits a sandbox gets when nobody says, and how the kernel counts processes. */
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "host/limits.h"
#include "host/users.h"
#include "support/unit.h"

static void test_defaults(void **state)
{
    struct cwsd_limits limits = {0};
    struct rlimit own;
    struct sysinfo info;
    (void)state;
    cwsd_limits_complete(&limits);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
    assert_int_equal(sysinfo(&info), 0);
    assert_int_equal(limits.processes, 2048);
    assert_true(limits.open_files <= 10000 && limits.open_files <= own.rlim_cur / 2);
    assert_int_equal(limits.written_bytes, (uint64_t)info.totalram * info.mem_unit / 8);
}

static void test_what_was_asked_for(void **state)
{
    struct cwsd_limits limits = {3, 4, 5};
    struct rlimit before, few;
    (void)state;
    cwsd_limits_complete(&limits);
    assert_int_equal(limits.processes, 3);
    assert_int_equal(limits.open_files, 4);
    assert_int_equal(limits.written_bytes, 5);
    /* Never so many that a sandbox could keep the daemon from passing any on. */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){600, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    limits.open_files = 5000;
    cwsd_limits_complete(&limits);
    assert_int_equal(limits.open_files, 300);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void test_counting(void **state)
{
    struct cwsd_users *users = NULL;
    struct cws_error err;
    (void)state;
    if (geteuid() != 0) {
        assert_int_not_equal(cwsd_limits_try_processes(0), CWSD_COUNT_NONE);
        return;
    }
    assert_int_equal(cwsd_users_new(&users, &err), CWS_OK);
    if (users) {
        assert_int_equal(cwsd_limits_try_processes(cwsd_users_take(users)), CWSD_COUNT_OWN);
        assert_int_equal(cwsd_limits_try_processes(0), CWSD_COUNT_NONE);
    }
    cwsd_users_free(users);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_defaults),
    UNIT_TEST(test_what_was_asked_for),
    UNIT_TEST(test_counting),
};

UNIT_MAIN(tests)
