/* sandbox/output: where only unread bytes are kept. */
#include "support/output_lines.h"

#include "base/alloc.h"

static unsigned reports;

static void count_report(struct cws_output *output)
{
    (void)output;
    reports++;
}

static void init(struct cws_output *output)
{
    reports = 0;
    cws_output_init(output);
    cws_output_keep_unread(output, count_report);
    cws_output_attach(output);
}

static void append_lines(struct cws_output *output, size_t count)
{
    char line[101];
    memset(line, 'x', 100);
    line[99] = '\n';
    for (size_t i = 0; i < count; i++)
        append(output, line, 100);
}

static void take_lines(struct cws_output *output, size_t count)
{
    struct cws_output_line line;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
        assert_int_equal(line.len + line.rest, 100);
    }
}

static void test_what_was_taken_is_freed(void **state)
{
    (void)state;
    struct cws_output output;
    size_t most = 0, before = cws_alloc_live();
    init(&output);
    for (int i = 0; i < 1000; i++) {
        append_lines(&output, 1000);
        assert_int_equal(cws_output_held(&output), 100000);
        take_lines(&output, 1000);
        assert_int_equal(cws_output_held(&output), 0);
        size_t live = cws_alloc_live() - before;
        most = live > most ? live : most;
    }
    assert_true(most <= 4); /* chunks of 64 KiB */
    assert_in_range(reports, 1000, 100000000 / CWS_OUTPUT_REPORT);
    size_t in_front;
    assert_int_equal(cws_output_size(&output), 0);
    assert_int_equal(cws_output_omitted(&output, &in_front), 100000000);
    cws_output_done(&output);
    assert_int_equal(cws_alloc_live(), before);
}

static void test_a_line_put_back_is_held_again(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line line;
    init(&output);
    append_lines(&output, 3000);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
        cws_output_put_back(&output);
        assert_int_equal(cws_output_held(&output), 300000 - 100 * (size_t)i);
        take_lines(&output, 1);
    }
    assert_next(&output, CWS_OUTPUT_EMPTY);
    cws_output_done(&output);
}

/* What a waiting reader has of a line cannot hold back the rest of it; a line that is too long is
 * handed out in pieces, in whole characters. */
static void test_a_long_line(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line line;
    struct watcher watcher = {.observer.notify = count_notice};
    enum { PIECE = 30000 };
    uint8_t *bytes = test_malloc(PIECE);
    for (size_t i = 0; i < PIECE; i++)
        bytes[i] = (uint8_t)("\xe2\x98\x83"[i % 3]);
    init(&output);
    cws_list_init(&watcher.observer.node);
    append_text(&output, "a"); /* so that the limit is inside of a character */
    size_t sent = 1, got = 0, pieces = 0;
    while (sent < 2000000) {
        if (cws_list_is_empty(&watcher.observer.node)) {
            switch (cws_output_take(&output, CWS_OUTPUT_LINE, &line, &watcher.observer)) {
            case CWS_OUTPUT_TAKEN:
                assert_in_range(line.len + line.rest, CWS_OUTPUT_LINE_MAX - 3, CWS_OUTPUT_LINE_MAX);
                got += line.len + line.rest;
                assert_int_equal(got % 3, 1);
                pieces++;
                continue;
            case CWS_OUTPUT_EMPTY:
                assert_int_equal(cws_output_held(&output), 0);
                break;
            default:
                fail();
            }
        }
        append(&output, bytes, PIECE);
        sent += PIECE;
    }
    assert_int_equal(pieces, 3);
    assert_true(reports > 0);
    cws_waiters_remove(&output.waiters, &watcher.observer);
    append_text(&output, "\n");
    assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
    assert_int_equal(got + line.len + line.rest, sent + 1);
    cws_output_done(&output);
    test_free(bytes);
}

/* The end of the line counts. */
static void test_the_longest_line(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line line;
    uint8_t *bytes = test_malloc(CWS_OUTPUT_LINE_MAX + 1);
    memset(bytes, 'x', CWS_OUTPUT_LINE_MAX + 1);
    init(&output);
    for (size_t len = CWS_OUTPUT_LINE_MAX - 1; len <= CWS_OUTPUT_LINE_MAX + 1; len++) {
        bool is_too_long = len > CWS_OUTPUT_LINE_MAX;
        append(&output, bytes, len - 1);
        assert_next(&output, CWS_OUTPUT_EMPTY);
        append_text(&output, "\n");
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
        assert_int_equal(line.len + line.rest, is_too_long ? CWS_OUTPUT_LINE_MAX : len);
        if (is_too_long)
            assert_text_line(&output, "\n");
        assert_next(&output, CWS_OUTPUT_EMPTY);
    }
    cws_output_done(&output);
    test_free(bytes);
}

/* Without a reader all but the last bytes go, and the next one is told. */
static void test_what_nobody_reads(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line line;
    init(&output);
    append_lines(&output, 5000);
    take_lines(&output, 50);
    assert_false(cws_output_let_go(&output, 0)); /* there is a reader */
    cws_output_detach(&output);
    assert_int_equal(reports, 1);
    assert_true(cws_output_let_go(&output, 100000));
    size_t kept = cws_output_held(&output);
    assert_in_range(kept, 100000 - 65536, 100000);
    cws_output_attach(&output);
    assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_GAP);
    assert_int_equal(line.len, 500000 - 5000 - kept);
    size_t left = 0;
    while (cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL) == CWS_OUTPUT_TAKEN)
        left += line.len + line.rest;
    assert_int_equal(left, kept);
    append_text(&output, "next\n");
    assert_text_line(&output, "next\n");
    cws_output_detach(&output);
    assert_true(cws_output_let_go(&output, 0));
    cws_output_attach(&output);
    append_text(&output, "and next\n");
    assert_text_line(&output, "and next\n"); /* nothing was lost since */
    cws_output_done(&output);
}

/* The chunk in front is read to its end, or in part, and the last one alone is larger than what may
 * stay: nothing is lost of it. */
static void test_one_large_append_behind_what_was_read(void **state)
{
    (void)state;
    enum { FRONT = 960, LARGE = 300000 }; /* FRONT fills the first chunk */
    static uint8_t large[LARGE];
    memset(large, 'y', LARGE);
    large[FRONT - 1] = large[LARGE / 2] = large[LARGE - 1] = '\n';
    for (int lines_read = 0; lines_read <= 2; lines_read++) {
        struct cws_output output;
        init(&output);
        append(&output, large, FRONT);
        if (lines_read > 0)
            assert_line(&output, large, FRONT);
        if (lines_read < 2)
            cws_output_detach(&output);
        append(&output, large + FRONT, LARGE - FRONT);
        if (lines_read == 2) {
            assert_line(&output, large + FRONT, LARGE / 2 + 1 - FRONT);
            cws_output_detach(&output);
        }
        assert_true(cws_output_let_go(&output, 1000));
        cws_output_attach(&output);
        struct cws_output_line line;
        if (lines_read == 0) {
            assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL),
                             CWS_OUTPUT_GAP);
            assert_int_equal(line.len, FRONT);
        }
        if (lines_read < 2)
            assert_line(&output, large + FRONT, LARGE / 2 + 1 - FRONT);
        assert_line(&output, large + LARGE / 2 + 1, LARGE / 2 - 1);
        assert_next(&output, CWS_OUTPUT_EMPTY);
        cws_output_done(&output);
    }
}

static void test_nothing_of_a_closed_one_is_kept(void **state)
{
    (void)state;
    struct cws_output output;
    size_t before = cws_alloc_live();
    init(&output);
    append_lines(&output, 5000);
    take_lines(&output, 7);
    cws_output_close(&output);
    cws_output_discard(&output);
    assert_int_equal(cws_alloc_live(), before);
    append_lines(&output, 5000);
    assert_int_equal(cws_alloc_live(), before);
    assert_int_equal(cws_output_held(&output), 0);
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);
}

static void take_text(struct cws_output *output, const char *text)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_TEXT, &line, NULL), CWS_OUTPUT_TAKEN);
    assert_bytes_of_line(&line, text, strlen(text));
}

/* A line that is broken off is never joined with what comes next. */
static void test_a_broken_line(void **state)
{
    (void)state;
    struct cws_output output;
    init(&output);
    append_text(&output, "a\nbro");
    assert_text_line(&output, "a\n");
    assert_next(&output, CWS_OUTPUT_EMPTY); /* the reader has looked at a part of it */
    append_text(&output, "ken");
    cws_output_break_line(&output);
    cws_output_break_line(&output);
    append_text(&output, "b\n");
    assert_text_line(&output, "b\n");
    assert_int_equal(cws_output_held(&output), 0);
    cws_output_break_line(&output); /* nothing is broken off */
    append_text(&output, "c");
    append_text(&output, "d\nsome");
    assert_text_line(&output, "cd\n");
    take_text(&output, "some"); /* a reader of text gets it all */
    append_text(&output, "thing");
    cws_output_break_line(&output);
    append_text(&output, "e\nrest");
    assert_text_line(&output, "e\n");
    cws_output_put_back(&output);
    take_text(&output, "e\nrest");
    append_text(&output, "last");
    cws_output_break_line(&output);
    cws_output_end(&output); /* nothing comes next */
    assert_text_line(&output, "last");
    assert_next(&output, CWS_OUTPUT_END);
    assert_int_equal(cws_output_held(&output), 0);
    cws_output_done(&output);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_broken_line),
    UNIT_TEST(test_what_was_taken_is_freed),
    UNIT_TEST(test_a_line_put_back_is_held_again),
    UNIT_TEST(test_a_long_line),
    UNIT_TEST(test_the_longest_line),
    UNIT_TEST(test_what_nobody_reads),
    UNIT_TEST(test_one_large_append_behind_what_was_read),
    UNIT_TEST(test_nothing_of_a_closed_one_is_kept),
};

UNIT_MAIN(tests)
