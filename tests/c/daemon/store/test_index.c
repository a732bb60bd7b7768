/* cwsandboxd/index: what is put in is found, whatever the buckets, until it is taken out. */
#include "support/unit.h"

#include "store/index.h"

enum { MANY = 2000 };

struct item {
    struct cwsd_index_node node;
    char key[16];
};

static void test_empty(void **state)
{
    (void)state;
    struct cwsd_index index;
    cwsd_index_init(&index);
    assert_null(cwsd_index_find(&index, ""));
    assert_null(cwsd_index_find(&index, "a"));
    assert_int_equal(index.bucket_count, 0); /* costs nothing until it is used */
    cwsd_index_done(&index);
}

static void test_keys_are_compared_whole(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "a", "A", "aa", "ab", "ba", "a ", "\xff"};
    static const char *const absent[] = {"b", "aaa", " a", "\xfe", "AA"};
    struct cwsd_index_node nodes[CWS_ARRAY_LEN(keys)];
    struct cwsd_index index;
    cwsd_index_init(&index);
    for (size_t i = 0; i < CWS_ARRAY_LEN(keys); i++)
        assert_int_equal(cwsd_index_add(&index, &nodes[i], keys[i]), CWS_OK);
    for (size_t i = 0; i < CWS_ARRAY_LEN(keys); i++) {
        char copy[8];
        strcpy(copy, keys[i]); /* the text counts, not where it is */
        assert_ptr_equal(cwsd_index_find(&index, copy), &nodes[i]);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(absent); i++)
        assert_null(cwsd_index_find(&index, absent[i]));
    cwsd_index_done(&index);
    assert_null(cwsd_index_find(&index, "a"));
}

static void test_taken_out_and_put_in_again(void **state)
{
    (void)state;
    struct item *items = cws_calloc(MANY, sizeof(*items));
    struct cwsd_index index;
    cwsd_index_init(&index);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(items[i].key, sizeof(items[i].key), "key-%zu", i);
        assert_int_equal(cwsd_index_add(&index, &items[i].node, items[i].key), CWS_OK);
    }
    assert_int_equal(index.count, MANY);
    assert_true(index.bucket_count >= MANY); /* short chains */
    for (size_t i = 0; i < MANY; i += 3)
        cwsd_index_remove(&index, &items[i].node);
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(cwsd_index_find(&index, items[i].key), i % 3 ? &items[i].node : NULL);
    size_t buckets = index.bucket_count;
    for (size_t i = 0; i < MANY; i += 3)
        assert_int_equal(cwsd_index_add(&index, &items[i].node, items[i].key), CWS_OK);
    assert_int_equal(index.bucket_count, buckets);
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(cwsd_index_find(&index, items[i].key), &items[i].node);
    for (size_t i = MANY; i-- > 0;)
        cwsd_index_remove(&index, &items[i].node);
    assert_int_equal(index.count, 0);
    cwsd_index_done(&index);
    cws_free(items);
}

/* Each time the table has to grow, it cannot once; nothing is lost by that. */
static void test_growing_without_memory(void **state)
{
    (void)state;
    struct item *items = cws_calloc(MANY, sizeof(*items));
    struct cwsd_index index;
    size_t failures = 0;
    cwsd_index_init(&index);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(items[i].key, sizeof(items[i].key), "key-%zu", i);
        cws_alloc_fail_at(1);
        enum cws_status status = cwsd_index_add(&index, &items[i].node, items[i].key);
        cws_alloc_fail_at(0);
        if (status != CWS_OK) {
            assert_int_equal(status, CWS_NO_MEMORY);
            assert_int_equal(index.count, i);
            assert_null(cwsd_index_find(&index, items[i].key));
            assert_int_equal(cwsd_index_add(&index, &items[i].node, items[i].key), CWS_OK);
            failures++;
        }
    }
    for (size_t i = 0; i < MANY; i++)
        assert_ptr_equal(cwsd_index_find(&index, items[i].key), &items[i].node);
    assert_int_equal(failures, 6); /* 64, 128, ... 2048 buckets */
    cwsd_index_done(&index);
    cws_free(items);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_empty),
    UNIT_TEST(test_keys_are_compared_whole),
    UNIT_TEST(test_taken_out_and_put_in_again),
    UNIT_TEST(test_growing_without_memory),
};

UNIT_MAIN(tests)
