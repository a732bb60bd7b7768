/* base/alloc: what is counted, and failing on demand. */
#include "support/unit.h"

static void test_live_blocks_are_counted(void **state)
{
    (void)state;
    size_t before = cws_alloc_live();
    void *a = cws_malloc(10);
    void *b = cws_calloc(3, 5);
    void *c = cws_realloc(NULL, 7);
    char *d = cws_strdup("four");
    assert_int_equal(cws_alloc_live(), before + 4);
    c = cws_realloc(c, 7000);
    assert_non_null(c);
    assert_int_equal(cws_alloc_live(), before + 4);
    cws_free(a);
    cws_free(b);
    cws_free(c);
    cws_free(d);
    cws_free(NULL);
    assert_int_equal(cws_alloc_live(), before);
}

static void test_calloc_gives_zeroes(void **state)
{
    (void)state;
    uint8_t *bytes = cws_calloc(100, 3);
    assert_non_null(bytes);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(bytes[i], 0);
    cws_free(bytes);
}

static void test_realloc_keeps_the_content(void **state)
{
    (void)state;
    char *text = cws_strdup("keep me");
    text = cws_realloc(text, 100000);
    assert_non_null(text);
    assert_string_equal(text, "keep me");
    cws_free(text);
}

static void test_strndup_takes_bytes_and_ends_them(void **state)
{
    (void)state;
    char *copy = cws_strndup("abc\0def", 7);
    assert_memory_equal(copy, "abc\0def", 8);
    cws_free(copy);
    copy = cws_strndup(NULL, 0);
    assert_string_equal(copy, "");
    cws_free(copy);
    copy = cws_strdup("");
    assert_string_equal(copy, "");
    cws_free(copy);
}

static void test_the_nth_allocation_fails_once(void **state)
{
    (void)state;
    size_t before = cws_alloc_live();
    cws_alloc_fail_at(3);
    void *a = cws_malloc(1);
    void *b = cws_calloc(1, 1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(cws_malloc(1));
    void *c = cws_malloc(1);
    assert_non_null(c); /* once only */
    assert_int_equal(cws_alloc_live(), before + 3);
    cws_free(a);
    cws_free(b);
    cws_free(c);
}

static void test_each_kind_of_allocation_can_fail(void **state)
{
    (void)state;
    char *text = cws_strdup("old");
    cws_alloc_fail_at(1);
    assert_null(cws_malloc(1));
    cws_alloc_fail_at(1);
    assert_null(cws_calloc(1, 1));
    cws_alloc_fail_at(1);
    assert_null(cws_realloc(NULL, 1));
    cws_alloc_fail_at(1);
    assert_null(cws_realloc(text, 100));
    assert_string_equal(text, "old"); /* a failed realloc leaves the block */
    cws_alloc_fail_at(1);
    assert_null(cws_strdup("x"));
    cws_free(text);
}

static void test_failing_can_be_turned_off(void **state)
{
    (void)state;
    cws_alloc_fail_at(1);
    cws_alloc_fail_at(0);
    void *block = cws_malloc(1);
    assert_non_null(block);
    cws_free(block);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_live_blocks_are_counted),
    UNIT_TEST(test_calloc_gives_zeroes),
    UNIT_TEST(test_realloc_keeps_the_content),
    UNIT_TEST(test_strndup_takes_bytes_and_ends_them),
    UNIT_TEST(test_the_nth_allocation_fails_once),
    UNIT_TEST(test_each_kind_of_allocation_can_fail),
    UNIT_TEST(test_failing_can_be_turned_off),
};

UNIT_MAIN(tests)
