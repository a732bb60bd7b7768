/* base/buf: appending, consuming, the ceiling, and memory that fails. */
#include "support/unit.h"

#include "base/buf.h"

static void assert_content(const struct cws_buf *buf, const char *text)
{
    assert_int_equal(buf->len, strlen(text));
    if (buf->len)
        assert_memory_equal(cws_buf_bytes(buf), text, buf->len);
}

static void test_append_and_consume(void **state)
{
    (void)state;
    struct cws_buf buf;
    cws_buf_init(&buf, 100);
    assert_content(&buf, "");
    assert_int_equal(cws_buf_append(&buf, "hello ", 6), CWS_OK);
    assert_int_equal(cws_buf_append(&buf, "", 0), CWS_OK);
    assert_int_equal(cws_buf_append(&buf, "world", 5), CWS_OK);
    assert_content(&buf, "hello world");
    cws_buf_consume(&buf, 6);
    assert_content(&buf, "world");
    cws_buf_consume(&buf, 0);
    assert_content(&buf, "world");
    cws_buf_consume(&buf, 5);
    assert_content(&buf, "");
    assert_int_equal(buf.head, 0); /* an empty buffer starts at the front again */
    cws_buf_done(&buf);
}

static void test_an_empty_buffer_can_be_looked_at(void **state)
{
    (void)state;
    struct cws_buf buf;
    cws_buf_init(&buf, 10);
    assert_null(cws_buf_bytes(&buf));
    uint8_t *tail;
    assert_int_equal(cws_buf_reserve(&buf, 0, &tail), CWS_OK);
    cws_buf_commit(&buf, 0);
    cws_buf_consume(&buf, 0);
    assert_int_equal(cws_buf_append(&buf, NULL, 0), CWS_OK);
    cws_buf_done(&buf);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    struct cws_buf buf;
    uint8_t *tail;
    cws_buf_init(&buf, 1000);
    assert_int_equal(cws_buf_append(&buf, "ab", 2), CWS_OK);
    assert_int_equal(cws_buf_reserve(&buf, 600, &tail), CWS_OK);
    memset(tail, 'x', 600); /* all of it is ours to write */
    memcpy(tail, "cd", 2);
    cws_buf_commit(&buf, 2);
    assert_content(&buf, "abcd");
    assert_int_equal(cws_buf_reserve(&buf, 3, &tail), CWS_OK);
    assert_ptr_equal(tail, cws_buf_bytes(&buf) + 4);
    cws_buf_done(&buf);
}

static void test_the_ceiling_holds(void **state)
{
    (void)state;
    struct cws_buf buf;
    uint8_t *tail;
    cws_buf_init(&buf, 8);
    assert_int_equal(cws_buf_append(&buf, "12345678", 8), CWS_OK);
    assert_int_equal(cws_buf_append(&buf, "9", 1), CWS_TOO_LARGE);
    assert_content(&buf, "12345678");
    cws_buf_consume(&buf, 3);
    assert_int_equal(cws_buf_append(&buf, "abcd", 4), CWS_TOO_LARGE);
    assert_int_equal(cws_buf_append(&buf, "abc", 3), CWS_OK); /* it is about what is held */
    assert_content(&buf, "45678abc");
    assert_int_equal(cws_buf_reserve(&buf, SIZE_MAX, &tail), CWS_TOO_LARGE);
    cws_buf_done(&buf);
}

static void test_sizes_that_would_overflow_are_too_large(void **state)
{
    (void)state;
    struct cws_buf buf;
    uint8_t *tail;
    cws_buf_init(&buf, SIZE_MAX);
    assert_int_equal(cws_buf_append(&buf, "x", 1), CWS_OK);
    assert_int_equal(cws_buf_reserve(&buf, SIZE_MAX, &tail), CWS_TOO_LARGE);
    cws_buf_consume(&buf, 0);
    assert_content(&buf, "x");
    cws_buf_done(&buf);
}

static void test_a_zero_ceiling_holds_nothing(void **state)
{
    (void)state;
    struct cws_buf buf;
    cws_buf_init(&buf, 0);
    assert_int_equal(cws_buf_append(&buf, "", 0), CWS_OK);
    assert_int_equal(cws_buf_append(&buf, "x", 1), CWS_TOO_LARGE);
    assert_null(buf.data);
    cws_buf_done(&buf);
}

static void test_failed_memory_leaves_it_as_it_was(void **state)
{
    (void)state;
    struct cws_buf buf;
    uint8_t big[4096] = {0};
    cws_buf_init(&buf, 1 << 20);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_buf_append(&buf, "x", 1), CWS_NO_MEMORY);
    assert_content(&buf, "");
    assert_int_equal(cws_buf_append(&buf, "abcdef", 6), CWS_OK);
    cws_buf_consume(&buf, 2);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_buf_append(&buf, big, sizeof(big)), CWS_NO_MEMORY);
    assert_content(&buf, "cdef");
    assert_int_equal(cws_buf_append(&buf, "g", 1), CWS_OK);
    assert_content(&buf, "cdefg");
    cws_buf_done(&buf);
}

/* A queue that is never empty: the bytes come out as they went in, and the memory stays small. */
static void test_a_long_lived_queue_does_not_creep(void **state)
{
    (void)state;
    struct cws_buf buf;
    cws_buf_init(&buf, 1 << 20);
    uint8_t next_in = 0, next_out = 0;
    for (int round = 0; round < 10000; round++) {
        uint8_t piece[7];
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = next_in++;
        assert_int_equal(cws_buf_append(&buf, piece, sizeof(piece)), CWS_OK);
        if (buf.len > 100) {
            for (size_t i = 0; i < 90; i++)
                assert_int_equal(cws_buf_bytes(&buf)[i], next_out++);
            cws_buf_consume(&buf, 90);
        }
    }
    assert_true(buf.cap <= 1024);
    cws_buf_done(&buf);
}

static void test_done_leaves_it_usable(void **state)
{
    (void)state;
    struct cws_buf buf;
    cws_buf_init(&buf, 10);
    assert_int_equal(cws_buf_append(&buf, "12345", 5), CWS_OK);
    cws_buf_done(&buf);
    assert_content(&buf, "");
    assert_int_equal(cws_buf_append(&buf, "12345678901", 11), CWS_TOO_LARGE);
    assert_int_equal(cws_buf_append(&buf, "1234567890", 10), CWS_OK);
    assert_content(&buf, "1234567890");
    cws_buf_done(&buf);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_append_and_consume),
    UNIT_TEST(test_an_empty_buffer_can_be_looked_at),
    UNIT_TEST(test_reserve_and_commit),
    UNIT_TEST(test_the_ceiling_holds),
    UNIT_TEST(test_sizes_that_would_overflow_are_too_large),
    UNIT_TEST(test_a_zero_ceiling_holds_nothing),
    UNIT_TEST(test_failed_memory_leaves_it_as_it_was),
    UNIT_TEST(test_a_long_lived_queue_does_not_creep),
    UNIT_TEST(test_done_leaves_it_usable),
};

UNIT_MAIN(tests)
