/* Two environments become one. */
#include "box/environment.h"
#include "support/unit.h"

static void expect(char **base, char **extra, const char *const *expected)
{
    struct cwsd_string_list lists[2] = {{base, 0}, {extra, 0}};
    char **merged;
    size_t count = 0, got;
    for (size_t i = 0; i < 2; i++)
        while (lists[i].items[lists[i].count])
            lists[i].count++;
    assert_int_equal(cwsd_environment_merge(&lists[0], &lists[1], &merged, &got), CWS_OK);
    for (; expected[count]; count++)
        assert_string_equal(merged[count], expected[count]);
    assert_int_equal(got, count);
    assert_null(merged[count]);
    cws_free(merged);
}

#define LIST(...) ((char *[]){__VA_ARGS__, NULL})
#define NOTHING   ((char *[]){NULL})
#define T(text)   ((char *)(text))

static void test_later_ones_win(void **state)
{
    (void)state;
    expect(LIST(T("B=1"), T("A=1")), LIST(T("B=2"), T("C=3")),
           (const char *[]){"A=1", "B=2", "C=3", NULL});
    expect(NOTHING, LIST(T("A=1"), T("A=2")), (const char *[]){"A=2", NULL});
    expect(LIST(T("A=1"), T("A=2")), NOTHING, (const char *[]){"A=2", NULL});
    expect(NOTHING, NOTHING, (const char *[]){NULL});
}

static void test_names_are_compared_whole(void **state)
{
    (void)state;
    expect(LIST(T("AB=1"), T("A=1"), T("ABC=1")), LIST(T("A=B=2"), T("AB=")),
           (const char *[]){"A=B=2", "AB=", "ABC=1", NULL});
    expect(LIST(T("A=1")), LIST(T("A")), (const char *[]){"A", NULL});
}

static void test_each_allocation_fails(void **state)
{
    struct cwsd_string_list list = {LIST(T("A=1")), 1};
    char **merged;
    size_t count, n = 1;
    (void)state;
    for (;; n++) {
        cws_alloc_fail_at(n);
        enum cws_status status = cwsd_environment_merge(&list, &list, &merged, &count);
        if (status == CWS_OK)
            break;
        assert_int_equal(status, CWS_NO_MEMORY);
    }
    assert_true(n > 1);
    cws_free(merged);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_later_ones_win),
    UNIT_TEST(test_names_are_compared_whole),
    UNIT_TEST(test_each_allocation_fails),
};

UNIT_MAIN(tests)
