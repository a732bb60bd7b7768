/* sandbox/output: its bytes moved into other memory, and lines put back. */
#include "output_lines.h"

/* Lines of 1000 bytes, as many as make several chunks of pages. */
static struct text large_text(void)
{
    enum { LINES = 6000, LINE = 1000 };
    struct text text = {.bytes = test_malloc(LINES * LINE), .len = LINES * LINE};
    for (size_t i = 0; i < LINES; i++) {
        memset(text.bytes + i * LINE, 'a' + (int)(i % 26), LINE - 1);
        text.bytes[i * LINE + LINE - 1] = '\n';
    }
    return text;
}

/* Wherever the reader stands, the lines go on from there in the new memory. */
static void test_lines_go_on_after_a_move(void **state)
{
    (void)state;
    struct text text = large_text();
    static const size_t taken_before[] = {0, 1, 263, 3000, 5999, 6000};
    for (size_t i = 0; i < CWS_ARRAY_LEN(taken_before); i++) {
        struct cws_output output;
        cws_output_init(&output);
        for (size_t at = 0; at < text.len; at += 30000)
            append(&output, text.bytes + at, 30000);
        append(&output, "tail", 4);
        cws_output_end(&output);
        for (size_t n = 0; n < taken_before[i]; n++)
            assert_line(&output, text.bytes + n * 1000, 1000);
        uint8_t *to = test_malloc(text.len + 4);
        cws_output_move(&output, to);
        assert_memory_equal(to, text.bytes, text.len);
        assert_int_equal(cws_output_size(&output), text.len + 4);
        for (size_t n = taken_before[i]; n < 6000; n++)
            assert_line(&output, text.bytes + n * 1000, 1000);
        assert_text_line(&output, "tail");
        assert_next(&output, CWS_OUTPUT_END);
        uint8_t last[4];
        cws_output_copy(&output, last, 4);
        assert_memory_equal(last, text.bytes, 4);
        cws_output_done(&output);
        test_free(to);
    }
    test_free(text.bytes);
}

static void test_a_move_gives_the_memory_up(void **state)
{
    (void)state;
    struct text text = large_text();
    struct cws_output output;
    size_t before = cws_alloc_live();
    cws_output_init(&output);
    append(&output, text.bytes, text.len / 2);
    append(&output, text.bytes + text.len / 2, text.len / 2);
    cws_output_end(&output);
    uint8_t *to = test_malloc(text.len);
    cws_output_move(&output, to);
    assert_int_equal(cws_alloc_live(), before + 1); /* what stands for the new memory */
    cws_output_done(&output);
    assert_int_equal(cws_alloc_live(), before);
    test_free(to);
    test_free(text.bytes);
}

static void test_a_line_put_back_is_next_again(void **state)
{
    (void)state;
    struct text text = large_text();
    struct cws_output output;
    struct cws_output_line line;
    size_t before = cws_alloc_live();
    cws_output_init(&output);
    append(&output, text.bytes, 2500);
    append(&output, text.bytes + 2500, text.len - 2500);
    append(&output, "tail", 4);
    cws_output_end(&output);
    for (size_t n = 0; n < 5; n++) { /* one of them is spread over two chunks */
        assert_int_equal(cws_output_take_line(&output, &line, NULL), CWS_OUTPUT_LINE);
        cws_output_put_back(&output, &line);
        assert_line(&output, text.bytes + n * 1000, 1000);
    }
    for (size_t n = 5; n < 6000; n++)
        assert_line(&output, text.bytes + n * 1000, 1000);
    assert_int_equal(cws_output_take_line(&output, &line, NULL), CWS_OUTPUT_LINE);
    cws_output_put_back(&output, &line);
    assert_text_line(&output, "tail");
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);
    assert_int_equal(cws_alloc_live(), before);
    test_free(text.bytes);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_lines_go_on_after_a_move),
    UNIT_TEST(test_a_move_gives_the_memory_up),
    UNIT_TEST(test_a_line_put_back_is_next_again),
};

UNIT_MAIN(tests)
