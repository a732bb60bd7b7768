/* What the tests of an output share: bytes in, lines checked. */
#pragma once

#include "sandbox/output.h"
#include "unit.h"

struct text {
    uint8_t *bytes;
    size_t len;
};

static inline void append(struct cws_output *output, const void *bytes, size_t len)
{
    assert_int_equal(cws_output_append(output, bytes, len), CWS_OK);
}

static inline void append_text(struct cws_output *output, const char *text)
{
    append(output, text, strlen(text));
}

static inline void assert_line(struct cws_output *output, const void *bytes, size_t len)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take_line(output, &line, NULL), CWS_OUTPUT_LINE);
    assert_int_equal(line.len, len);
    assert_memory_equal(line.data, bytes, len);
    cws_free(line.owned);
}

static inline void assert_text_line(struct cws_output *output, const char *text)
{
    assert_line(output, text, strlen(text));
}

static inline void assert_next(struct cws_output *output, enum cws_output_next next)
{
    struct cws_output_line line;
    assert_int_equal(cws_output_take_line(output, &line, NULL), next);
}
