/* Numbers among the kernel's settings. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/setting.h"
#include "support/unit.h"

static void test_a_setting_of_this_kernel(void **state)
{
    long expected = 0;
    (void)state;
    FILE *file = fopen("/proc/sys/kernel/pid_max", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &expected), 1);
    fclose(file);
    assert_true(expected > 0);
    assert_int_equal(cwsd_setting_read("/proc/sys/kernel/pid_max"), expected);
}

static void test_one_that_is_not_there(void **state)
{
    (void)state;
    assert_int_equal(cwsd_setting_read("/proc/sys/kernel/no_such_setting"), -1);
    assert_int_equal(cwsd_setting_read("/proc/sys/kernel"), -1); /* opened, but not read */
}

static void test_what_a_file_may_hold(void **state)
{
    static const struct {
        const char *text;
        long number;
    } cases[] = {
        {"0\n", 0},    {"1\n", 1},   {"9223372036854775807\n", 9223372036854775807},
        {"12", 12},    {"-1\n", -1}, {"-5\n", -1},
        {"max\n", -1}, {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[] = "/tmp/cws-setting-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, cases[i].text, strlen(cases[i].text)), strlen(cases[i].text));
        close(fd);
        long number = cwsd_setting_read(path);
        unlink(path);
        assert_int_equal(number, cases[i].number);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_setting_of_this_kernel),
    UNIT_TEST(test_one_that_is_not_there),
    UNIT_TEST(test_what_a_file_may_hold),
};

UNIT_MAIN(tests)
