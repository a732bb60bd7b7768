/* sandbox/output_ends: the first and the last bytes, and where something is missing between
 * them. */
#include "support/output_lines.h"

#include "base/alloc.h"

static void assert_kept(struct cws_output *output, const void *bytes, size_t len, size_t omitted,
                        size_t before)
{
    size_t got_before;
    assert_int_equal(cws_output_size(output), len);
    assert_int_equal(cws_output_omitted(output, &got_before), omitted);
    assert_int_equal(got_before, before);
    uint8_t *copy = test_malloc(len + 1);
    cws_output_copy(output, copy, len);
    assert_memory_equal(copy, bytes, len);
    test_free(copy);
}

static void assert_gap(struct cws_output *output, size_t len)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_GAP);
    assert_int_equal(line.len, len);
}

/* Every limit, length and size of pieces around each other. */
static void test_the_ends_of_any_length(void **state)
{
    (void)state;
    uint8_t bytes[64], expected[64];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)('!' + i);
    for (size_t max = 1; max <= 20; max++) {
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            for (size_t piece = 1; piece <= 23; piece++) {
                struct cws_output output;
                cws_output_init(&output);
                cws_output_keep_ends(&output, max);
                for (size_t at = 0; at < len; at += piece)
                    append(&output, bytes + at, len - at < piece ? len - at : piece);
                size_t head = max - max / 2 < len ? max - max / 2 : len;
                size_t tail = max / 2 < len - head ? max / 2 : len - head;
                memcpy(expected, bytes, head);
                memcpy(expected + head, bytes + len - tail, tail);
                assert_kept(&output, expected, head + tail, len - head - tail, head);
                cws_output_end(&output);
                uint8_t moved[64];
                assert_int_equal(cws_output_move(&output, moved), CWS_OK);
                assert_memory_equal(moved, expected, head + tail);
                assert_kept(&output, expected, head + tail, len - head - tail, head);
                cws_output_done(&output);
            }
        }
    }
}

static void test_memory_is_bounded(void **state)
{
    (void)state;
    enum { MAX = 256 * 1024 };
    struct cws_output output;
    uint8_t *bytes = test_malloc(100000);
    memset(bytes, 'y', 100000);
    cws_output_init(&output);
    cws_output_keep_ends(&output, MAX);
    for (int i = 0; i < 20; i++)
        append(&output, bytes, 100000);
    size_t live = cws_alloc_live();
    for (int i = 0; i < 1000; i++)
        append(&output, bytes, 100000);
    assert_int_equal(cws_alloc_live(), live);
    assert_int_equal(cws_output_size(&output), MAX);
    cws_output_done(&output);
    test_free(bytes);
}

static void test_a_reader_that_keeps_up_sees_all(void **state)
{
    (void)state;
    struct cws_output output;
    char line[32];
    cws_output_init(&output);
    cws_output_keep_ends(&output, 64);
    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof(line), "line %d\n", i);
        append(&output, line, 3);
        assert_next(&output, CWS_OUTPUT_EMPTY);
        append_text(&output, line + 3);
        assert_text_line(&output, line);
    }
    cws_output_end(&output);
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);
}

/* Told once, in its place; what is in front of it and behind it is read. */
static void test_a_reader_that_does_not_is_told(void **state)
{
    (void)state;
    static const bool moves[] = {false, true};
    for (size_t i = 0; i < CWS_ARRAY_LEN(moves); i++) {
        struct cws_output output;
        uint8_t moved[10];
        cws_output_init(&output);
        cws_output_keep_ends(&output, 10);
        append_text(&output, "a\nbcdefghi\njk\nl");
        if (moves[i]) {
            cws_output_end(&output);
            assert_int_equal(cws_output_move(&output, moved), CWS_OK);
        }
        assert_text_line(&output, "a\n");
        assert_text_line(&output, "bcd"); /* a line ends where something is missing */
        assert_gap(&output, 5);
        assert_text_line(&output, "\n");
        assert_text_line(&output, "jk\n");
        if (!moves[i]) {
            assert_next(&output, CWS_OUTPUT_EMPTY);
            append_text(&output, "mnopqrs\n");
            assert_gap(&output, 4);
            assert_text_line(&output, "pqrs\n");
            cws_output_end(&output);
        } else {
            assert_text_line(&output, "l");
        }
        assert_next(&output, CWS_OUTPUT_END);
        assert_next(&output, CWS_OUTPUT_END);
        cws_output_done(&output);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line line;
    cws_output_init(&output);
    cws_output_keep_ends(&output, 8);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_output_append(&output, (const uint8_t *)"a\n", 2), CWS_NO_MEMORY);
    append_text(&output, "a\n");
    cws_alloc_fail_at(1);
    assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_NO_MEMORY);
    assert_text_line(&output, "a\n");
    cws_alloc_fail_at(1); /* for the tail */
    assert_int_equal(cws_output_append(&output, (const uint8_t *)"bc\n", 3), CWS_NO_MEMORY);
    assert_kept(&output, "a\n", 2, 0, 2);
    append_text(&output, "bc\n");
    assert_text_line(&output, "bc\n");
    cws_output_put_back(&output);
    assert_text_line(&output, "bc\n");
    cws_output_done(&output);
}

/* Of an output that kept everything until its reader was closed. */
static void test_a_limit_for_what_is_yet_to_come(void **state)
{
    (void)state;
    struct cws_output output;
    cws_output_init(&output);
    append_text(&output, "0123456789");
    cws_output_close(&output);
    cws_output_limit(&output, 8);
    assert_kept(&output, "0123456789", 10, 0, 10);
    append_text(&output, "abc");
    append_text(&output, "defg");
    assert_kept(&output, "0123456789defg", 14, 3, 10);
    cws_output_end(&output);
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);

    cws_output_init(&output);
    append_text(&output, "01");
    cws_output_close(&output);
    cws_output_limit(&output, 8);
    append_text(&output, "23456789");
    assert_kept(&output, "01236789", 8, 2, 4);
    cws_output_done(&output);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_the_ends_of_any_length),
    UNIT_TEST(test_memory_is_bounded),
    UNIT_TEST(test_a_reader_that_keeps_up_sees_all),
    UNIT_TEST(test_a_reader_that_does_not_is_told),
    UNIT_TEST(test_without_memory),
    UNIT_TEST(test_a_limit_for_what_is_yet_to_come),
};

UNIT_MAIN(tests)
