/* sandbox/output: bytes in, lines out, whatever lies between them: chunk borders, threads, memory
 * that fails. */
#include "support/unit.h"

#include <pthread.h>

#include "support/output_lines.h"

/* Where the first chunks end: 960, then 1984 more, then 4032 more. Lines are laid over each of
 * these places. */
static const size_t BORDERS[] = {960, 960 + 1984, 960 + 1984 + 4032};

/* Takes every line there is and checks it against the text from *at on; *at is moved on. */
static void take_all(struct cws_output *output, const struct text *text, size_t *at)
{
    struct cws_output_line line;
    while (cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL) == CWS_OUTPUT_TAKEN) {
        const uint8_t *from = text->bytes + *at;
        const uint8_t *lf = memchr(from, '\n', text->len - *at);
        size_t len = lf ? (size_t)(lf - from) + 1 : text->len - *at;
        assert_bytes_of_line(&line, from, len);
        *at += len;
    }
}

/* Appends the text in pieces of one size, taking lines after each piece or only at the end. */
static void run_through(const struct text *text, size_t piece, bool at_once)
{
    struct cws_output output;
    size_t taken = 0;
    cws_output_init(&output);
    for (size_t at = 0; at < text->len; at += piece) {
        size_t n = text->len - at < piece ? text->len - at : piece;
        append(&output, text->bytes + at, n);
        assert_int_equal(cws_output_size(&output), at + n);
        if (at_once) {
            take_all(&output, text, &taken);
            assert_true(taken <= at + n);
        }
    }
    cws_output_end(&output);
    take_all(&output, text, &taken);
    assert_int_equal(taken, text->len);
    assert_next(&output, CWS_OUTPUT_END);
    uint8_t *copy = test_malloc(text->len + 1);
    cws_output_copy(&output, copy, text->len);
    assert_memory_equal(copy, text->bytes, text->len);
    test_free(copy);
    cws_output_done(&output);
}

static void test_lines_over_each_chunk_border(void **state)
{
    (void)state;
    uint8_t bytes[8200];
    for (size_t b = 0; b < CWS_ARRAY_LEN(BORDERS); b++) {
        for (size_t shift = 0; shift <= 12; shift++) {
            /* one LF at each place around the border, another one a few bytes later */
            struct text text = {bytes, BORDERS[b] + 30};
            memset(bytes, 'x', text.len);
            size_t lf = BORDERS[b] + shift - 6;
            bytes[lf] = bytes[lf + 4] = '\n';
            bytes[3] = bytes[lf / 2] = '\n';
            run_through(&text, text.len, false);
            run_through(&text, lf, true);
            run_through(&text, lf + 1, true);
            run_through(&text, BORDERS[b], true);
            run_through(&text, 7, true);
        }
    }
}

static void test_lines_of_each_length_in_pieces_of_each_size(void **state)
{
    (void)state;
    uint8_t bytes[7100];
    struct text text = {bytes, sizeof(bytes)};
    size_t at = 0;
    for (size_t len = 0; at < sizeof(bytes); len = (len + 1) % 61) {
        for (size_t i = 0; i < len && at < sizeof(bytes); i++)
            bytes[at++] = (uint8_t)('a' + (len + i) % 26);
        if (at < sizeof(bytes))
            bytes[at++] = '\n';
    }
    static const size_t pieces[] = {1, 2, 3, 5, 13, 64, 959, 960, 961, 1024, 2944, 2945, 7100};
    for (size_t i = 0; i < CWS_ARRAY_LEN(pieces); i++) {
        run_through(&text, pieces[i], true);
        run_through(&text, pieces[i], false);
    }
}

static void test_a_line_spread_over_many_chunks(void **state)
{
    (void)state;
    size_t len = 3 << 20;
    struct text text = {test_malloc(len), len};
    for (size_t i = 0; i < len; i++)
        text.bytes[i] = (uint8_t)('A' + i % 31);
    text.bytes[10] = '\n';
    text.bytes[len - 2] = '\n';
    run_through(&text, len, false);
    run_through(&text, 100000, true);
    test_free(text.bytes);
}

static void test_only_empty_lines(void **state)
{
    (void)state;
    uint8_t bytes[3000];
    struct text text = {bytes, sizeof(bytes)};
    memset(bytes, '\n', sizeof(bytes));
    run_through(&text, 1, true);
    run_through(&text, 960, true);
    run_through(&text, sizeof(bytes), false);
}

static void test_other_bytes_end_no_line(void **state)
{
    (void)state;
    struct cws_output output;
    cws_output_init(&output);
    append(&output, "a\r\nb\0c\vd\fe\xff\x85\n", 13);
    assert_text_line(&output, "a\r\n");
    assert_line(&output, "b\0c\vd\fe\xff\x85\n", 10);
    assert_next(&output, CWS_OUTPUT_EMPTY);
    cws_output_end(&output);
    assert_next(&output, CWS_OUTPUT_END); /* no empty line after the last LF */
    cws_output_done(&output);
}

static void test_the_last_line_may_lack_its_end(void **state)
{
    (void)state;
    struct cws_output output;
    cws_output_init(&output);
    assert_next(&output, CWS_OUTPUT_EMPTY);
    append_text(&output, "one\ntw");
    append(&output, NULL, 0);
    assert_text_line(&output, "one\n");
    assert_next(&output, CWS_OUTPUT_EMPTY); /* "tw" may go on */
    append_text(&output, "o");
    assert_next(&output, CWS_OUTPUT_EMPTY);
    cws_output_end(&output);
    assert_text_line(&output, "two");
    assert_next(&output, CWS_OUTPUT_END);
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_done(&output);
}

static void test_no_output_at_all(void **state)
{
    (void)state;
    struct cws_output output;
    cws_output_init(&output);
    cws_output_end(&output);
    assert_next(&output, CWS_OUTPUT_END);
    assert_int_equal(cws_output_size(&output), 0);
    cws_output_copy(&output, NULL, 0);
    cws_output_done(&output);
}

/* A line is looked at in place: what comes later does not move it. */
static void test_lines_stay_where_they_are(void **state)
{
    (void)state;
    struct cws_output output;
    struct cws_output_line lines[100];
    char expected[32];
    cws_output_init(&output);
    for (int i = 0; i < 100; i++) {
        snprintf(expected, sizeof(expected), "line %d\n", i);
        append_text(&output, expected);
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &lines[i], NULL),
                         CWS_OUTPUT_TAKEN);
        assert_int_equal(lines[i].rest, 0);
    }
    uint8_t *more = test_calloc(1, 1 << 20);
    append(&output, more, 1 << 20);
    test_free(more);
    for (int i = 0; i < 100; i++) {
        snprintf(expected, sizeof(expected), "line %d\n", i);
        assert_memory_equal(lines[i].data, expected, lines[i].len);
    }
    cws_output_done(&output);
}

static void test_close_skips_lines_and_keeps_bytes(void **state)
{
    (void)state;
    struct cws_output output;
    char copy[8];
    cws_output_init(&output);
    append_text(&output, "a\nb\n");
    assert_text_line(&output, "a\n");
    cws_output_close(&output);
    assert_next(&output, CWS_OUTPUT_END);
    append_text(&output, "c\n");
    assert_next(&output, CWS_OUTPUT_END);
    assert_int_equal(cws_output_size(&output), 6);
    cws_output_copy(&output, (uint8_t *)copy, 6);
    assert_memory_equal(copy, "a\nb\nc\n", 6);
    cws_output_end(&output);
    assert_next(&output, CWS_OUTPUT_END);
    cws_output_close(&output); /* again: harmless */
    cws_output_done(&output);
}

static void test_a_copy_may_be_shorter(void **state)
{
    (void)state;
    struct cws_output output;
    uint8_t bytes[5000], copy[5001];
    cws_output_init(&output);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 13);
    append(&output, bytes, sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len += 40) {
        copy[len] = 0x5a;
        cws_output_copy(&output, copy, len);
        assert_memory_equal(copy, bytes, len);
        assert_int_equal(copy[len], 0x5a);
    }
    cws_output_done(&output);
}

/* --- observers --- */

static enum cws_output_next take_watched(struct cws_output *output, struct watcher *watcher)
{
    struct cws_output_line line = {0};
    return cws_output_take(output, CWS_OUTPUT_LINE, &line, &watcher->observer);
}

static void test_observers_are_told_of_lines_once(void **state)
{
    (void)state;
    struct cws_output output;
    struct watcher watcher = {.observer.notify = count_notice};
    cws_list_init(&watcher.observer.node);
    cws_output_init(&output);
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_EMPTY);
    append_text(&output, "a");
    assert_int_equal(watcher.notified, 0); /* bytes, but no line yet */
    append_text(&output, "\nb");
    assert_int_equal(watcher.notified, 1);
    append_text(&output, "\n");
    assert_int_equal(watcher.notified, 1); /* it has to register again */
    assert_text_line(&output, "a\n");
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_TAKEN);
    append_text(&output, "c");
    assert_int_equal(watcher.notified, 1); /* not registered when there was a line */
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_EMPTY);
    cws_waiters_remove(&output.waiters, &watcher.observer);
    append_text(&output, "d\ne");
    assert_int_equal(watcher.notified, 1);
    assert_text_line(&output, "cd\n");
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_EMPTY);
    cws_output_end(&output);
    assert_int_equal(watcher.notified, 2);
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_TAKEN);
    assert_int_equal(take_watched(&output, &watcher), CWS_OUTPUT_END);
    cws_output_done(&output); /* nobody is registered */
}

static void test_close_tells_whoever_waits(void **state)
{
    (void)state;
    struct cws_output output;
    struct watcher a = {.observer.notify = count_notice}, b = {.observer.notify = count_notice};
    cws_output_init(&output);
    assert_int_equal(take_watched(&output, &a), CWS_OUTPUT_EMPTY);
    assert_int_equal(take_watched(&output, &b), CWS_OUTPUT_EMPTY);
    cws_output_close(&output);
    assert_int_equal(a.notified, 1);
    assert_int_equal(b.notified, 1);
    cws_output_done(&output);
}

/* --- memory --- */

static void test_an_append_without_memory_appends_nothing(void **state)
{
    (void)state;
    struct cws_output output;
    char bytes[2000], copy[2000];
    memset(bytes, 'x', sizeof(bytes));
    bytes[100] = '\n';
    cws_output_init(&output);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_output_append(&output, (uint8_t *)"a\n", 2), CWS_NO_MEMORY);
    assert_next(&output, CWS_OUTPUT_EMPTY);
    append_text(&output, "kept");
    cws_alloc_fail_at(1); /* part of it would still fit */
    assert_int_equal(cws_output_append(&output, (uint8_t *)bytes, sizeof(bytes)), CWS_NO_MEMORY);
    assert_int_equal(cws_output_size(&output), 4);
    assert_next(&output, CWS_OUTPUT_EMPTY);
    append_text(&output, " on\n");
    assert_text_line(&output, "kept on\n");
    cws_output_copy(&output, (uint8_t *)copy, 8);
    assert_memory_equal(copy, "kept on\n", 8);
    cws_output_done(&output);
}

/* Lines lie where they were received: reading them takes no memory. */
static void test_a_spread_line_takes_no_memory(void **state)
{
    (void)state;
    struct cws_output output;
    char line[1500], rest[4 + 2 * 1499];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    memset(rest, 'x', sizeof(rest));
    memcpy(rest, "rest", 4);
    cws_output_init(&output);
    append(&output, line, 1000);
    append(&output, line + 1000, 500);
    append_text(&output, "next\nrest");
    append(&output, line, 1499); /* makes the rest a spread line, without an end */
    append(&output, line, 1499);
    cws_output_end(&output);
    struct cws_output_line taken[3];
    size_t before = cws_alloc_live();
    cws_alloc_fail_at(1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cws_output_take(&output, CWS_OUTPUT_LINE, &taken[i], NULL),
                         CWS_OUTPUT_TAKEN);
    assert_next(&output, CWS_OUTPUT_END);
    assert_int_equal(cws_alloc_live(), before);
    cws_alloc_fail_at(0);
    assert_bytes_of_line(&taken[0], line, sizeof(line));
    assert_true(taken[0].rest > 0);
    assert_bytes_of_line(&taken[1], "next\n", 5);
    assert_bytes_of_line(&taken[2], rest, sizeof(rest));
    cws_output_done(&output);
}

/* --- threads: the appender is the loop thread, everyone else reads --- */

enum { THREAD_LINES = 20000 };

struct shared {
    struct cws_output output;
    pthread_mutex_t turn; /* of the readers */
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

struct sleeper {
    struct cws_observer observer;
    struct shared *shared;
    bool woken;
};

static void wake(struct cws_observer *observer)
{
    struct sleeper *sleeper = cws_container_of(observer, struct sleeper, observer);
    pthread_mutex_lock(&sleeper->shared->lock);
    sleeper->woken = true;
    pthread_cond_broadcast(&sleeper->shared->changed);
    pthread_mutex_unlock(&sleeper->shared->lock);
}

/* The next line, sleeping until it comes. */
static enum cws_output_next wait_line(struct shared *shared, struct cws_output_line *line)
{
    for (;;) {
        struct sleeper sleeper = {.observer.notify = wake, .shared = shared};
        pthread_mutex_lock(&shared->turn);
        enum cws_output_next next =
            cws_output_take(&shared->output, CWS_OUTPUT_LINE, line, &sleeper.observer);
        pthread_mutex_unlock(&shared->turn);
        if (next != CWS_OUTPUT_EMPTY)
            return next;
        pthread_mutex_lock(&shared->lock);
        while (!sleeper.woken)
            pthread_cond_wait(&shared->changed, &shared->lock);
        pthread_mutex_unlock(&shared->lock);
        cws_waiters_remove(&shared->output.waiters,
                           &sleeper.observer); /* the notifier is through with it */
    }
}

/* "000123 xxxx…\n": a length that goes up and down, and the number in front. */
static size_t make_line(char out[128], int number)
{
    int len = snprintf(out, 128, "%06d %.*s\n", number, number % 97,
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                       "xxxxxxxxxxxxxxxxxxxxx");
    return (size_t)len;
}

static void *append_lines(void *arg)
{
    struct shared *shared = arg;
    char pieces[4096];
    size_t held = 0;
    for (int i = 0; i < THREAD_LINES; i++) {
        held += make_line(pieces + held, i);
        if (held > sizeof(pieces) - 128 || i % 7 == 0 || i == THREAD_LINES - 1) {
            /* cut anywhere, also inside a line */
            size_t cut = held / 2;
            append(&shared->output, (uint8_t *)pieces, cut);
            append(&shared->output, (uint8_t *)pieces + cut, held - cut);
            held = 0;
        }
    }
    cws_output_end(&shared->output);
    return NULL;
}

static void *read_copies(void *arg)
{
    struct shared *shared = arg;
    size_t before = 0;
    for (int round = 0; round < 200; round++) {
        size_t size = cws_output_size(&shared->output);
        assert_true(size >= before);
        before = size;
        size_t n = size < 50000 ? size : 50000;
        uint8_t *copy = malloc(n + 1);
        cws_output_copy(&shared->output, copy, n);
        if (n >= 6)
            assert_memory_equal(copy, "000000", 6);
        free(copy);
    }
    return NULL;
}

static void test_a_reader_and_a_copier_beside_the_appender(void **state)
{
    (void)state;
    struct shared shared = {.turn = PTHREAD_MUTEX_INITIALIZER,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    pthread_t appender, copier;
    cws_output_init(&shared.output);
    assert_int_equal(pthread_create(&appender, NULL, append_lines, &shared), 0);
    assert_int_equal(pthread_create(&copier, NULL, read_copies, &shared), 0);
    struct cws_output_line line;
    int number = 0;
    for (; wait_line(&shared, &line) == CWS_OUTPUT_TAKEN; number++) {
        char expected[128];
        size_t len = make_line(expected, number);
        assert_bytes_of_line(&line, expected, len);
    }
    assert_int_equal(number, THREAD_LINES);
    pthread_join(appender, NULL);
    pthread_join(copier, NULL);
    cws_output_done(&shared.output);
}

struct share_of_lines {
    struct shared *shared;
    uint8_t *seen; /* one for each line */
    int count;
};

static void *take_lines(void *arg)
{
    struct share_of_lines *share = arg;
    struct cws_output_line line;
    while (wait_line(share->shared, &line) == CWS_OUTPUT_TAKEN) {
        char expected[128], digits[7] = {0};
        size_t len;
        uint8_t *bytes = line_bytes(line, &len);
        memcpy(digits, bytes, 6);
        int number = atoi(digits);
        assert_int_equal(len, make_line(expected, number));
        assert_memory_equal(bytes, expected, len);
        share->seen[number]++;
        share->count++;
        free(bytes);
    }
    return NULL;
}

static void test_two_readers_share_the_lines(void **state)
{
    (void)state;
    struct shared shared = {.turn = PTHREAD_MUTEX_INITIALIZER,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    struct share_of_lines shares[2];
    pthread_t appender, readers[2];
    cws_output_init(&shared.output);
    for (int i = 0; i < 2; i++) {
        shares[i] =
            (struct share_of_lines){.shared = &shared, .seen = test_calloc(THREAD_LINES, 1)};
        assert_int_equal(pthread_create(&readers[i], NULL, take_lines, &shares[i]), 0);
    }
    assert_int_equal(pthread_create(&appender, NULL, append_lines, &shared), 0);
    pthread_join(appender, NULL);
    pthread_join(readers[0], NULL);
    pthread_join(readers[1], NULL);
    assert_int_equal(shares[0].count + shares[1].count, THREAD_LINES);
    for (int i = 0; i < THREAD_LINES; i++)
        assert_int_equal(shares[0].seen[i] + shares[1].seen[i], 1);
    test_free(shares[0].seen);
    test_free(shares[1].seen);
    cws_output_done(&shared.output);
}

static void *close_soon(void *arg)
{
    struct shared *shared = arg;
    while (cws_output_size(&shared->output) < 10000)
        ;
    cws_output_close(&shared->output);
    return NULL;
}

static void test_closing_from_another_thread_ends_the_wait(void **state)
{
    (void)state;
    struct shared shared = {.turn = PTHREAD_MUTEX_INITIALIZER,
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    pthread_t closer;
    cws_output_init(&shared.output);
    assert_int_equal(pthread_create(&closer, NULL, close_soon, &shared), 0);
    uint8_t *bytes = test_calloc(1, 10000); /* no line in it: the reader sleeps until the close */
    append(&shared.output, bytes, 10000);
    struct cws_output_line line;
    assert_int_equal(wait_line(&shared, &line), CWS_OUTPUT_END);
    pthread_join(closer, NULL);
    test_free(bytes);
    cws_output_done(&shared.output);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_lines_over_each_chunk_border),
    UNIT_TEST(test_lines_of_each_length_in_pieces_of_each_size),
    UNIT_TEST(test_a_line_spread_over_many_chunks),
    UNIT_TEST(test_only_empty_lines),
    UNIT_TEST(test_other_bytes_end_no_line),
    UNIT_TEST(test_the_last_line_may_lack_its_end),
    UNIT_TEST(test_no_output_at_all),
    UNIT_TEST(test_lines_stay_where_they_are),
    UNIT_TEST(test_close_skips_lines_and_keeps_bytes),
    UNIT_TEST(test_a_copy_may_be_shorter),
    UNIT_TEST(test_observers_are_told_of_lines_once),
    UNIT_TEST(test_close_tells_whoever_waits),
    UNIT_TEST(test_an_append_without_memory_appends_nothing),
    UNIT_TEST(test_a_spread_line_takes_no_memory),
    UNIT_TEST(test_a_reader_and_a_copier_beside_the_appender),
    UNIT_TEST(test_two_readers_share_the_lines),
    UNIT_TEST(test_closing_from_another_thread_ends_the_wait),
};

UNIT_MAIN(tests)
