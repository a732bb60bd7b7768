/* sandbox/output: a reader beside the loop thread, where not everything is kept. */
#include "support/output_lines.h"

#include <pthread.h>

enum { LINES = 200000, LINE = 16, MOST_HELD = 512 * 1024 };

struct shared {
    struct cws_output output;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool reader_waits; /* guarded by `lock` */
    bool was_told;     /* the reader has taken something, or waits */
};

static struct shared *reported; /* whose on_taken it is */

static void tell(struct cws_output *output)
{
    (void)output;
    pthread_mutex_lock(&reported->lock);
    reported->was_told = true;
    pthread_cond_broadcast(&reported->changed);
    pthread_mutex_unlock(&reported->lock);
}

static void shared_init(struct shared *shared)
{
    *shared = (struct shared){0};
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->changed, NULL);
    cws_output_init(&shared->output);
    reported = shared;
}

static void shared_done(struct shared *shared)
{
    cws_output_done(&shared->output);
    pthread_cond_destroy(&shared->changed);
    pthread_mutex_destroy(&shared->lock);
}

/* As the loop thread does: no more than the window while it is held. */
static void wait_for_room(struct shared *shared)
{
    for (;;) {
        pthread_mutex_lock(&shared->lock);
        shared->was_told = false;
        pthread_mutex_unlock(&shared->lock);
        if (cws_output_held(&shared->output) < MOST_HELD)
            return;
        pthread_mutex_lock(&shared->lock);
        while (!shared->was_told)
            pthread_cond_wait(&shared->changed, &shared->lock);
        pthread_mutex_unlock(&shared->lock);
    }
}

static void *append_lines(void *arg)
{
    struct shared *shared = arg;
    char bytes[64 * LINE];
    for (int i = 0; i < LINES; i += 64) {
        for (int n = 0; n < 64; n++) {
            char line[LINE + 1];
            snprintf(line, sizeof(line), "%015d\n", i + n);
            memcpy(bytes + n * LINE, line, LINE);
        }
        size_t cut = (size_t)(i / 64) % sizeof(bytes);
        append(&shared->output, bytes, cut);
        append(&shared->output, bytes + cut, sizeof(bytes) - cut);
        if (shared->output.kept == CWS_OUTPUT_UNREAD)
            wait_for_room(shared);
    }
    cws_output_end(&shared->output);
    return NULL;
}

struct sleeper {
    struct cws_observer observer;
    struct shared *shared;
};

static void wake(struct cws_observer *observer)
{
    struct shared *shared = cws_container_of(observer, struct sleeper, observer)->shared;
    pthread_mutex_lock(&shared->lock);
    shared->reader_waits = false;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
}

static enum cws_output_next wait_item(struct shared *shared, enum cws_output_item item,
                                      struct cws_output_line *line)
{
    for (;;) {
        struct sleeper sleeper = {.observer.notify = wake, .shared = shared};
        shared->reader_waits = true; /* nobody else looks at it before the observer is there */
        enum cws_output_next next = cws_output_take(&shared->output, item, line, &sleeper.observer);
        if (next != CWS_OUTPUT_EMPTY)
            return next;
        pthread_mutex_lock(&shared->lock);
        while (shared->reader_waits)
            pthread_cond_wait(&shared->changed, &shared->lock);
        pthread_mutex_unlock(&shared->lock);
        cws_waiters_remove(&shared->output.waiters, &sleeper.observer);
    }
}

static int number_of(const struct cws_output_line *line)
{
    size_t len;
    uint8_t *bytes = line_bytes(*line, &len);
    assert_int_equal(len, LINE);
    assert_int_equal(bytes[LINE - 1], '\n');
    bytes[LINE - 1] = '\0';
    int number = atoi((char *)bytes);
    free(bytes);
    return number;
}

static void test_unread_lines_beside_the_loop_thread(void **state)
{
    (void)state;
    struct shared shared;
    struct cws_output_line line;
    pthread_t thread;
    shared_init(&shared);
    cws_output_keep_unread(&shared.output, tell);
    cws_output_attach(&shared.output);
    assert_int_equal(pthread_create(&thread, NULL, append_lines, &shared), 0);
    int read = 0;
    while (wait_item(&shared, CWS_OUTPUT_LINE, &line) == CWS_OUTPUT_TAKEN)
        assert_int_equal(number_of(&line), read++);
    assert_int_equal(read, LINES);
    pthread_join(thread, NULL);
    shared_done(&shared);
}

static void test_unread_text_beside_the_loop_thread(void **state)
{
    (void)state;
    struct shared shared;
    struct cws_output_line text;
    pthread_t thread;
    shared_init(&shared);
    cws_output_keep_unread(&shared.output, tell);
    cws_output_attach(&shared.output);
    assert_int_equal(pthread_create(&thread, NULL, append_lines, &shared), 0);
    size_t read = 0, sum = 0;
    while (wait_item(&shared, CWS_OUTPUT_TEXT, &text) == CWS_OUTPUT_TAKEN) {
        size_t len;
        uint8_t *bytes = line_bytes(text, &len);
        for (size_t i = 0; i < len; i++)
            sum += bytes[i] == '\n';
        read += len;
        free(bytes);
    }
    assert_int_equal(read, (size_t)LINES * LINE);
    assert_int_equal(sum, LINES);
    pthread_join(thread, NULL);
    shared_done(&shared);
}

/* What is missing is told: with it, lines are in order and none is lost without a word. */
static void test_the_ends_beside_the_loop_thread(void **state)
{
    (void)state;
    struct shared shared;
    struct cws_output_line line;
    pthread_t thread;
    size_t at = 0, len;
    shared_init(&shared);
    cws_output_keep_ends(&shared.output, 4096);
    assert_int_equal(pthread_create(&thread, NULL, append_lines, &shared), 0);
    for (;;) {
        enum cws_output_next next = wait_item(&shared, CWS_OUTPUT_LINE, &line);
        if (next == CWS_OUTPUT_END)
            break;
        if (next == CWS_OUTPUT_TAKEN) {
            uint8_t *bytes = line_bytes(line, &len);
            char expected[LINE + 1];
            snprintf(expected, sizeof(expected), "%015d\n", (int)(at / LINE));
            assert_true(at % LINE + len <= LINE);
            assert_memory_equal(bytes, expected + at % LINE, len);
            free(bytes);
            at += len;
        } else {
            assert_int_equal(next, CWS_OUTPUT_GAP);
            at += line.len;
        }
    }
    assert_int_equal(at, (size_t)LINES * LINE);
    pthread_join(thread, NULL);
    shared_done(&shared);
}

/* Readers that come and go, while the loop thread lets go of what they leave. */
static void *append_and_let_go(void *arg)
{
    struct shared *shared = arg;
    char line[LINE + 1];
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "%015d\n", i);
        append(&shared->output, line, LINE);
        if (i % 100 == 0)
            cws_output_let_go(&shared->output, 10 * LINE);
    }
    cws_output_end(&shared->output);
    return NULL;
}

static void test_readers_that_come_and_go(void **state)
{
    (void)state;
    struct shared shared;
    struct cws_output_line line;
    pthread_t thread;
    size_t at = 0;
    shared_init(&shared);
    cws_output_keep_unread(&shared.output, tell);
    assert_int_equal(pthread_create(&thread, NULL, append_and_let_go, &shared), 0);
    for (bool is_over = false; !is_over;) {
        cws_output_attach(&shared.output);
        for (int i = 0; i < 7 && !is_over; i++) {
            switch (cws_output_take(&shared.output, CWS_OUTPUT_LINE, &line, NULL)) {
            case CWS_OUTPUT_TAKEN:
                assert_int_equal(number_of(&line), at / LINE);
                at += LINE;
                break;
            case CWS_OUTPUT_GAP: /* whole chunks, and these are of whole lines */
                at += line.len;
                break;
            default:
                is_over = atomic_load(&shared.output.shared.ended) && at == (size_t)LINES * LINE;
            }
        }
        cws_output_detach(&shared.output);
    }
    pthread_join(thread, NULL);
    shared_done(&shared);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_unread_lines_beside_the_loop_thread),
    UNIT_TEST(test_unread_text_beside_the_loop_thread),
    UNIT_TEST(test_the_ends_beside_the_loop_thread),
    UNIT_TEST(test_readers_that_come_and_go),
};

UNIT_MAIN(tests)
