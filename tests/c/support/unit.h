/* cmocka with the headers it needs, and a fixture that finds blocks a test has leaked. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

/* A test that waits for something that never comes is killed after this long. */
#define UNIT_SECONDS 60

/* For tests that need no state of their own: *state is the number of live blocks before the
 * test. */
static inline int unit_set_up(void **state)
{
    alarm(UNIT_SECONDS);
    *state = (void *)(uintptr_t)cws_alloc_live();
    return 0;
}

static inline int unit_tear_down(void **state)
{
    alarm(0);
    cws_alloc_fail_at(0);
    size_t before = (size_t)(uintptr_t)*state;
    size_t live = cws_alloc_live();
    if (live != before)
        print_error("%zu blocks before the test, %zu after it\n", before, live);
    return live == before ? 0 : -1;
}

#define UNIT_TEST(function) cmocka_unit_test_setup_teardown(function, unit_set_up, unit_tear_down)

#define UNIT_MAIN(tests) \
    int main(void) \
    { \
        return cmocka_run_group_tests(tests, NULL, NULL); \
    }
