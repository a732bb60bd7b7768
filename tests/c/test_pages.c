/* base/pages: sizes in whole pages, zeros straight from the system, counted like other blocks. */
#include "unit.h"

#include "base/pages.h"

static void test_sizes_are_rounded_up(void **state)
{
    (void)state;
    static const struct {
        size_t size, rounded;
    } rows[] = {{0, 0},
                {1, 4096},
                {4095, 4096},
                {4096, 4096},
                {4097, 8192},
                {((size_t)1 << 32) + 1, ((size_t)1 << 32) + 4096},
                {SIZE_MAX - 4095, SIZE_MAX - 4095}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        assert_true(cws_pages_round(rows[i].size) == rows[i].rounded);
}

static void test_pages_are_zeros_of_ones_own(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 8192, 2 * 1024 * 1024, 2 * 1024 * 1024 + 4096};
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++) {
        size_t before = cws_alloc_live();
        uint8_t *pages = cws_pages_new(sizes[i]);
        assert_non_null(pages);
        assert_int_equal((uintptr_t)pages % 4096, 0);
        assert_int_equal(cws_alloc_live(), before + 1);
        for (size_t at = 0; at < sizes[i]; at += 512)
            assert_int_equal(pages[at], 0);
        memset(pages, 0xa5, sizes[i]);
        uint8_t *others = cws_pages_new(sizes[i]);
        assert_non_null(others);
        assert_int_equal(others[0], 0);
        assert_int_equal(pages[sizes[i] - 1], 0xa5);
        cws_pages_free(pages, sizes[i]);
        assert_int_equal(others[sizes[i] - 1], 0);
        cws_pages_free(others, sizes[i]);
        assert_int_equal(cws_alloc_live(), before);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    size_t before = cws_alloc_live();
    cws_alloc_fail_at(2);
    uint8_t *pages = cws_pages_new(4096);
    assert_non_null(pages);
    assert_null(cws_pages_new(4096));
    uint8_t *after = cws_pages_new(4096); /* it fails once */
    assert_non_null(after);
    cws_pages_free(pages, 4096);
    cws_pages_free(after, 4096);
    assert_null(cws_pages_new(SIZE_MAX - 4095)); /* more than there are addresses */
    assert_int_equal(cws_alloc_live(), before);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_sizes_are_rounded_up),
    UNIT_TEST(test_pages_are_zeros_of_ones_own),
    UNIT_TEST(test_without_memory),
};

UNIT_MAIN(tests)
