/* sandbox/output_read: what is there, as it comes, in whole characters. */
#include "sandbox/output_private.h"
#include "support/output_lines.h"

static void assert_text(struct cws_output *output, const void *bytes, size_t len)
{
    struct cws_output_line text;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_TEXT, &text, NULL), CWS_OUTPUT_TAKEN);
    assert_bytes_of_line(&text, bytes, len);
}

static void assert_no_text(struct cws_output *output, enum cws_output_next next)
{
    struct cws_output_line text;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_TEXT, &text, NULL), next);
}

static void init(struct cws_output *output, enum cws_output_kept kept)
{
    cws_output_init(output);
    if (kept == CWS_OUTPUT_ENDS)
        cws_output_keep_ends(output, 1 << 20);
}

static void test_unfinished(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t unfinished;
    } cases[] = {
        {"", 0},
        {"a", 0},
        {"\xc3", 1},
        {"\xc3\xa9", 0},
        {"\xe2", 1},
        {"\xe2\x98", 2},
        {"\xe2\x98\x83", 0},
        {"\xf0", 1},
        {"\xf0\x9f\x90", 3},
        {"\xf0\x9f\x90\x8d", 0},
        {"\x80", 0},             /* no beginning */
        {"\x80\x80\x80\x80", 0}, /* nor here */
        {"\xff", 0},             /* begins nothing */
        {"\xf5\x80", 0},
        {"\xc3\xa9\x80", 0}, /* whole, then a stray one */
        {"a\xe2\x98", 2},
        {"\xe2\x98\xc3", 1}, /* the first will never be whole */
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].bytes);
        size_t got = cws_output_unfinished((const uint8_t *)cases[i].bytes, len);
        if (got != cases[i].unfinished)
            fail_msg("case %zu: %zu", i, got);
    }
}

/* "aé☃🐍" cut at each place: each part is as long as it can be. */
static void test_characters_stay_whole(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x98\x83\xf0\x9f\x90\x8d";
    static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        for (size_t cut = 1; cut < 10; cut++) {
            struct cws_output output;
            init(&output, kepts[k]);
            append(&output, text, cut);
            assert_text(&output, text, whole[cut]);
            assert_no_text(&output, CWS_OUTPUT_EMPTY);
            append(&output, text + cut, 10 - cut);
            assert_text(&output, text + whole[cut], 10 - whole[cut]);
            cws_output_end(&output);
            assert_no_text(&output, CWS_OUTPUT_END);
            cws_output_done(&output);
        }
    }
}

/* The character lies over the border of two chunks. */
static void test_characters_over_each_chunk_border(void **state)
{
    (void)state;
    uint8_t bytes[1200];
    for (size_t at = 950; at < 965; at++) {
        struct cws_output output;
        memset(bytes, 'x', sizeof(bytes));
        memcpy(bytes + at, "\xf0\x9f\x90\x8d", 4);
        for (size_t cut = at; cut < at + 4; cut++) {
            cws_output_init(&output);
            append(&output, bytes, cut);
            assert_text(&output, bytes, at);
            append(&output, bytes + cut, sizeof(bytes) - cut);
            assert_text(&output, bytes + at, sizeof(bytes) - at);
            cws_output_done(&output);
        }
    }
}

static void test_the_end_brings_what_is_unfinished(void **state)
{
    (void)state;
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        struct cws_output output;
        init(&output, kepts[k]);
        append_text(&output, "\xe2\x98");
        assert_no_text(&output, CWS_OUTPUT_EMPTY);
        cws_output_end(&output);
        assert_text(&output, "\xe2\x98", 2);
        assert_no_text(&output, CWS_OUTPUT_END);
        cws_output_done(&output);
    }
}

static void test_the_cursor_is_shared_with_lines(void **state)
{
    (void)state;
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        struct cws_output output;
        init(&output, kepts[k]);
        append_text(&output, "one\ntw");
        assert_text_line(&output, "one\n");
        assert_next(&output, CWS_OUTPUT_EMPTY); /* has looked at "tw" */
        assert_text(&output, "tw", 2);
        append_text(&output, "o\nthree\nfo");
        assert_text_line(&output, "o\n");
        assert_text(&output, "three\nfo", 8);
        cws_output_put_back(&output);
        assert_text_line(&output, "three\n");
        cws_output_end(&output);
        assert_text_line(&output, "fo");
        assert_no_text(&output, CWS_OUTPUT_END);
        cws_output_done(&output);
    }
}

static void test_much_text_comes_in_parts(void **state)
{
    (void)state;
    size_t len = 3 * CWS_OUTPUT_TEXT_MAX;
    uint8_t *bytes = test_malloc(len);
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)("\xe2\x98\x83"[i % 3]);
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        struct cws_output output;
        struct cws_output_line text;
        init(&output, kepts[k]);
        for (size_t at = 0; at < len; at += 10000)
            append(&output, bytes + at, len - at < 10000 ? len - at : 10000);
        for (size_t at = 0; at < len;) {
            assert_int_equal(cws_output_take(&output, CWS_OUTPUT_TEXT, &text, NULL),
                             CWS_OUTPUT_TAKEN);
            size_t n = text.len + text.rest;
            assert_true(n <= CWS_OUTPUT_TEXT_MAX && n % 3 == 0);
            assert_bytes_of_line(&text, bytes + at, n);
            at += n;
        }
        assert_no_text(&output, CWS_OUTPUT_EMPTY);
        cws_output_done(&output);
    }
    test_free(bytes);
}

static void test_bytes_come_however_they_are_cut(void **state)
{
    (void)state;
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        struct cws_output output;
        struct cws_output_line taken;
        init(&output, kepts[k]);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_BYTES, &taken, NULL),
                         CWS_OUTPUT_EMPTY);
        append_text(&output, "\xe2\x98");
        assert_no_text(&output, CWS_OUTPUT_EMPTY);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_BYTES, &taken, NULL),
                         CWS_OUTPUT_TAKEN);
        assert_bytes_of_line(&taken, "\xe2\x98", 2);
        cws_output_put_back(&output);
        append_text(&output, "\x83");
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_BYTES, &taken, NULL),
                         CWS_OUTPUT_TAKEN);
        assert_bytes_of_line(&taken, "\xe2\x98\x83", 3);
        cws_output_end(&output);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_BYTES, &taken, NULL), CWS_OUTPUT_END);
        cws_output_done(&output);
    }
}

/* Who waits for text is told of any byte; who waits for lines is not, once nobody waits for
 * text. */
static void test_observers_are_told_of_any_byte(void **state)
{
    (void)state;
    static const enum cws_output_kept kepts[] = {CWS_OUTPUT_ALL, CWS_OUTPUT_ENDS};
    for (size_t k = 0; k < CWS_ARRAY_LEN(kepts); k++) {
        struct cws_output output;
        struct cws_output_line item;
        struct watcher watcher = {.observer.notify = count_notice};
        init(&output, kepts[k]);
        cws_list_init(&watcher.observer.node);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_TEXT, &item, &watcher.observer),
                         CWS_OUTPUT_EMPTY);
        append_text(&output, "name? ");
        assert_int_equal(watcher.notified, 1);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &item, &watcher.observer),
                         CWS_OUTPUT_EMPTY);
        append_text(&output, "x");
        assert_int_equal(watcher.notified, 1);
        append_text(&output, "\n");
        assert_int_equal(watcher.notified, 2);
        cws_output_done(&output);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_unfinished),
    UNIT_TEST(test_characters_stay_whole),
    UNIT_TEST(test_characters_over_each_chunk_border),
    UNIT_TEST(test_the_end_brings_what_is_unfinished),
    UNIT_TEST(test_the_cursor_is_shared_with_lines),
    UNIT_TEST(test_much_text_comes_in_parts),
    UNIT_TEST(test_bytes_come_however_they_are_cut),
    UNIT_TEST(test_observers_are_told_of_any_byte),
};

UNIT_MAIN(tests)
