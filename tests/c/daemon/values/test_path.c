/* cwsandboxd/path: which rule a path breaks, and how long it may be. */
#include "support/unit.h"

#include "values/bounds.h"
#include "values/path.h"

static void test_the_rule_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *fault; /* NULL: fine */
    } rows[] = {
        {"", "must be absolute"},
        {"a/b", "must be absolute"},
        {".", "must be absolute"},
        {" /a", "must be absolute"},
        {"~/a", "must be absolute"},
        {"/a/..", "must not contain \"..\""},
        {"/a/../..", "must not contain \"..\""},
        {"/a/b/../c", "must not contain \"..\""},
        {"///..", "must not contain \"..\""},
        {"/.", NULL},
        {"/./a", NULL},
        {"/..a", NULL},
        {"/a..", NULL},
        {"/a../b", NULL},
        {"/.../..b/c", NULL},
        {"/a b\n\xff", NULL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        const char *fault = cwsd_path_fault(rows[i].path);
        if (!rows[i].fault != !fault)
            fail_msg("\"%s\": %s", rows[i].path, fault ? fault : "fine");
        if (fault)
            assert_string_equal(fault, rows[i].fault);
    }
}

static void test_the_longest(void **state)
{
    (void)state;
    char *path = cws_malloc(CWSD_MAX_PATH_BYTES + 2);
    memset(path, '/', CWSD_MAX_PATH_BYTES + 1);
    path[CWSD_MAX_PATH_BYTES + 1] = '\0';
    assert_string_equal(cwsd_path_fault(path), "is too long");
    path[CWSD_MAX_PATH_BYTES] = '\0';
    assert_null(cwsd_path_fault(path));
    memcpy(path + CWSD_MAX_PATH_BYTES - 3, "/..", 3);
    assert_string_equal(cwsd_path_fault(path), "must not contain \"..\"");
    cws_free(path);
}

static void test_parts_are_compared(void **state)
{
    (void)state;
    static const char *const ascending[] = {"/", "/a", "/a/b", "/a/c", "/a-b", "/ab", "/b"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(ascending); i++)
        for (size_t j = 0; j < CWS_ARRAY_LEN(ascending); j++) {
            int order = cwsd_path_compare(ascending[i], ascending[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    assert_int_equal(cwsd_path_compare("//a/./b/", "/a//b"), 0);
    assert_int_equal(cwsd_path_compare("/.", "///"), 0);
    assert_int_not_equal(cwsd_path_compare("/.a", "/a"), 0);
}

static void test_what_is_in_a_folder(void **state)
{
    (void)state;
    assert_true(cwsd_path_is_in("/proc", "/proc"));
    assert_true(cwsd_path_is_in("//proc/./sys/", "/proc"));
    assert_true(cwsd_path_is_in("/anything", "/"));
    assert_false(cwsd_path_is_in("/process", "/proc"));
    assert_false(cwsd_path_is_in("/pro", "/proc"));
    assert_false(cwsd_path_is_in("/a/proc", "/proc"));
    assert_false(cwsd_path_is_in("/", "/proc"));
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_parts_are_compared),
    UNIT_TEST(test_what_is_in_a_folder),
    UNIT_TEST(test_the_rule_is_named),
    UNIT_TEST(test_the_longest),
};

UNIT_MAIN(tests)
