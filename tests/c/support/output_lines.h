/* Shared by the tests of an output: appends bytes, checks lines. */
#pragma once

#include "sandbox/output.h"
#include "support/unit.h"

struct text {
    uint8_t *bytes;
    size_t len;
};

/* Counts what readers are told. */
struct watcher {
    struct cws_observer observer;
    unsigned notified;
};

static inline void count_notice(struct cws_observer *observer)
{
    cws_container_of(observer, struct watcher, observer)->notified++;
}

static inline void append(struct cws_output *output, const void *bytes, size_t len)
{
    assert_int_equal(cws_output_append(output, bytes, len), CWS_OK);
}

static inline void append_text(struct cws_output *output, const char *text)
{
    append(output, text, strlen(text));
}

/* The bytes of a line, all its pieces: free them. */
static inline uint8_t *line_bytes(struct cws_output_line line, size_t *out_len)
{
    size_t at = 0, whole = line.len + line.rest;
    uint8_t *bytes = malloc(whole); /* not test_malloc: also for threads */
    do {
        assert_true(line.len > 0);
        memcpy(bytes + at, line.data, line.len);
        at += line.len;
        assert_int_equal(line.rest, whole - at);
    } while (cws_output_next_piece(&line));
    assert_int_equal(at, whole);
    *out_len = whole;
    return bytes;
}

static inline void assert_bytes_of_line(const struct cws_output_line *line, const void *bytes,
                                        size_t len)
{
    size_t got_len;
    uint8_t *got = line_bytes(*line, &got_len);
    assert_int_equal(got_len, len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

static inline void assert_line(struct cws_output *output, const void *bytes, size_t len)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL), CWS_OUTPUT_TAKEN);
    assert_bytes_of_line(&line, bytes, len);
}

static inline void assert_text_line(struct cws_output *output, const char *text)
{
    assert_line(output, text, strlen(text));
}

static inline void assert_next(struct cws_output *output, enum cws_output_next next)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL), next);
}
