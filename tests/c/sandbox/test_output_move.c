/* sandbox/output: its bytes moved into other memory, and lines put back. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/output_lines.h"

/* Stands in for the system's, to see what it is asked for and to refuse. */
static size_t bytes_given;
static bool refuses;
static int lost_after; /* so many pieces; 0: never */
static struct rlimit address_space;

void *mremap(void *from, size_t old_len, size_t len, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *to = va_arg(args, void *);
    va_end(args);
    if (refuses) {
        errno = EPERM;
        return MAP_FAILED;
    }
    if (lost_after > 0 && --lost_after == 0) {
        /* What was there is gone, and nothing can be put in its place. */
        assert_int_equal(munmap(to, len), 0);
        assert_int_equal(setrlimit(RLIMIT_AS, &(struct rlimit){0, address_space.rlim_max}), 0);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    bytes_given += len;
    return (void *)syscall(SYS_mremap, from, old_len, len, flags, to);
}

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

/* Memory that begins so far into a page: only at the output's own phase are pages given away. */
static uint8_t *new_memory(size_t len, size_t phase)
{
    uint8_t *pages = aligned_alloc(4096, (phase + len + 4095) / 4096 * 4096);
    assert_non_null(pages);
    return pages + phase;
}

static void free_memory(uint8_t *memory)
{
    free((void *)((uintptr_t)memory & ~(uintptr_t)4095));
}

/* Wherever the reader stands, the lines go on from there in the new memory. */
static void check_lines_go_on(size_t phase, size_t piece)
{
    bool alike = phase == CWS_OUTPUT_PHASE;
    struct text text = large_text();
    static const size_t taken_before[] = {0, 1, 263, 3000, 5999, 6000};
    for (size_t i = 0; i < CWS_ARRAY_LEN(taken_before); i++) {
        struct cws_output output;
        cws_output_init(&output);
        for (size_t at = 0; at < text.len; at += piece)
            append(&output, text.bytes + at, text.len - at < piece ? text.len - at : piece);
        append(&output, "tail", 4);
        cws_output_end(&output);
        for (size_t n = 0; n < taken_before[i]; n++)
            assert_line(&output, text.bytes + n * 1000, 1000);
        uint8_t *to = new_memory(text.len + 4, phase);
        bytes_given = 0;
        assert_int_equal(cws_output_move(&output, to), CWS_OK);
        if (alike && !refuses) /* all but what was in small chunks, and a page or two at the ends of
                                  each chunk of pages */
            assert_true(bytes_given > text.len - (1 << 20));
        else
            assert_int_equal(bytes_given, 0);
        assert_memory_equal(to, text.bytes, text.len);
        assert_memory_equal(to + text.len, "tail", 4);
        assert_int_equal(cws_output_size(&output), text.len + 4);
        for (size_t n = taken_before[i]; n < 6000; n++)
            assert_line(&output, text.bytes + n * 1000, 1000);
        assert_text_line(&output, "tail");
        assert_next(&output, CWS_OUTPUT_END);
        uint8_t last[4];
        cws_output_copy(&output, last, 4);
        assert_memory_equal(last, text.bytes, 4);
        cws_output_done(&output);
        free_memory(to);
    }
    test_free(text.bytes);
}

static void test_lines_go_on_after_a_move(void **state)
{
    (void)state;
    static const size_t pieces[] = {30000, 262080, 4096, 3000000, 6000000};
    for (size_t i = 0; i < CWS_ARRAY_LEN(pieces); i++) {
        check_lines_go_on(CWS_OUTPUT_PHASE, pieces[i]);
        check_lines_go_on(0, pieces[i]);
        check_lines_go_on(CWS_OUTPUT_PHASE + 16, pieces[i]);
    }
    refuses = true;
    check_lines_go_on(CWS_OUTPUT_PHASE, 30000);
    refuses = false;
}

/* Every length at which a page or a chunk of pages is just full, or is not. */
static void test_moves_of_each_length(void **state)
{
    (void)state;
    struct text text = large_text();
    static const size_t borders[] = {262080 * 2 - 960, 1048576, 2097152, 4 * 1048576};
    for (size_t b = 0; b < CWS_ARRAY_LEN(borders); b++) {
        for (size_t len = borders[b] - 100; len < borders[b] + 4200; len += 25) {
            struct cws_output output;
            cws_output_init(&output);
            for (size_t at = 0; at < len; at += 100000)
                append(&output, text.bytes + at, len - at < 100000 ? len - at : 100000);
            cws_output_end(&output);
            uint8_t *to = new_memory(len + 1, CWS_OUTPUT_PHASE);
            to[len] = 0x5a;
            assert_int_equal(cws_output_move(&output, to), CWS_OK);
            assert_memory_equal(to, text.bytes, len);
            assert_int_equal(to[len], 0x5a);
            cws_output_done(&output);
            free_memory(to);
        }
    }
    test_free(text.bytes);
}

static void test_a_move_without_memory_is_a_copy(void **state)
{
    (void)state;
    struct text text = large_text();
    struct cws_output output;
    cws_output_init(&output);
    append(&output, text.bytes, text.len);
    cws_output_end(&output);
    uint8_t *to = new_memory(text.len, CWS_OUTPUT_PHASE);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_output_move(&output, to), CWS_OK);
    assert_memory_equal(to, text.bytes, text.len);
    memset(to, 0, text.len); /* nobody's but ours */
    for (size_t n = 0; n < 6000; n++)
        assert_line(&output, text.bytes + n * 1000, 1000);
    cws_output_done(&output);
    free_memory(to);
    test_free(text.bytes);
}

/* The first, a middle and the last piece of pages find their place taken away: nothing of the
 * output is lost, and the next move is a whole one. */
static void test_a_move_into_memory_that_is_lost(void **state)
{
    (void)state;
    struct text text = large_text();
    static const size_t taken_before[] = {0, 1, 263, 3000, 5999, 6000};
    assert_int_equal(getrlimit(RLIMIT_AS, &address_space), 0);
    for (int nth = 1; nth <= 4; nth++) {
        for (size_t i = 0; i < CWS_ARRAY_LEN(taken_before); i++) {
            struct cws_output output;
            cws_output_init(&output);
            for (size_t at = 0; at < text.len; at += 30000)
                append(&output, text.bytes + at, text.len - at < 30000 ? text.len - at : 30000);
            cws_output_end(&output);
            for (size_t n = 0; n < taken_before[i]; n++)
                assert_line(&output, text.bytes + n * 1000, 1000);
            size_t room = CWS_OUTPUT_PHASE + text.len + 4096;
            uint8_t *lost =
                mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            assert_true(lost != MAP_FAILED);
            lost_after = nth;
            enum cws_status how = cws_output_move(&output, lost + CWS_OUTPUT_PHASE);
            setrlimit(RLIMIT_AS, &address_space);
            assert_int_equal(how, CWS_NO_MEMORY);
            assert_int_equal(lost_after, 0);
            assert_int_equal(cws_output_size(&output), text.len);
            if (taken_before[i] > 0) {
                cws_output_put_back(&output);
                assert_line(&output, text.bytes + (taken_before[i] - 1) * 1000, 1000);
            }
            uint8_t *to = new_memory(text.len, CWS_OUTPUT_PHASE);
            assert_int_equal(cws_output_move(&output, to), CWS_OK);
            munmap(lost, room);
            assert_memory_equal(to, text.bytes, text.len);
            for (size_t n = taken_before[i]; n < 6000; n++)
                assert_line(&output, text.bytes + n * 1000, 1000);
            assert_next(&output, CWS_OUTPUT_END);
            cws_output_done(&output);
            free_memory(to);
        }
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
    uint8_t *to = new_memory(text.len, CWS_OUTPUT_PHASE);
    assert_int_equal(cws_output_move(&output, to), CWS_OK);
    assert_int_equal(cws_alloc_live(), before + 1); /* what stands for the new memory */
    cws_output_done(&output);
    assert_int_equal(cws_alloc_live(), before);
    free_memory(to);
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
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
        cws_output_put_back(&output);
        assert_line(&output, text.bytes + n * 1000, 1000);
    }
    for (size_t n = 5; n < 6000; n++)
        assert_line(&output, text.bytes + n * 1000, 1000);
    assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
    cws_output_put_back(&output);
    assert_text_line(&output, "tail");
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);
    assert_int_equal(cws_alloc_live(), before);
    test_free(text.bytes);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_lines_go_on_after_a_move),
    UNIT_TEST(test_moves_of_each_length),
    UNIT_TEST(test_a_move_without_memory_is_a_copy),
    UNIT_TEST(test_a_move_gives_the_memory_up),
    UNIT_TEST(test_a_line_put_back_is_next_again),
    UNIT_TEST(test_a_move_into_memory_that_is_lost),
};

UNIT_MAIN(tests)
