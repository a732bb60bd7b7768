/*
 * One output stream of a command: the bytes as received, kept once, and a cursor that hands them out as lines.
 *
 * The loop thread appends; any thread reads. Bytes never move once appended, so a reader looks at them without the
 * lock. A line ends with LF; the last one may lack it.
 */
#pragma once

#include "base/status.h"
#include "io/waiters.h"

struct cws_output_chunk;

struct cws_output {
    struct cws_waiters waiters; /* notified on new bytes and at the end; guards all below */
    struct cws_output_chunk *first;
    struct cws_output_chunk *last;
    size_t size;   /* bytes received */
    bool ended;    /* nothing more will come */
    bool closed;   /* the reader has closed its side: iteration is over */
    /* the line cursor: */
    struct cws_output_chunk *at;
    size_t at_offset;  /* in `at` */
    size_t taken;      /* bytes handed out as lines */
    size_t scanned;    /* bytes from the cursor on known to hold no LF */
    bool busy;         /* a reader is between take and done */
};

void cws_output_init(struct cws_output *output);
void cws_output_done(struct cws_output *output);

/* Loop thread. CWS_NO_MEMORY. */
enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data, size_t len) CWS_MUST_CHECK;
void cws_output_end(struct cws_output *output);

enum cws_output_next {
    CWS_OUTPUT_LINE,  /* *out_line holds a line */
    CWS_OUTPUT_EMPTY, /* none yet: `observer` was registered if it was given */
    CWS_OUTPUT_END,   /* all lines were handed out, or the reader was closed */
};

struct cws_output_line {
    const uint8_t *data; /* contiguous; valid while the output lives */
    size_t len;
    uint8_t *owned; /* not NULL: cws_free it after use (the line was spread over chunks) */
};

/* Any thread: takes the next line off the cursor. With `observer` not NULL and nothing there, it is registered under the same lock.
 * CWS_OUTPUT_END also answers when out of memory for a spread line, with *out_line.len = SIZE_MAX. */
enum cws_output_next cws_output_take_line(struct cws_output *output, struct cws_output_line *out_line,
                                          struct cws_observer *observer);

/* Any thread: bytes received so far, and a copy of the first `len` of them. */
size_t cws_output_size(struct cws_output *output);
void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len);

/* Any thread: ends the reader's side; lines not taken are skipped; what was received stays for cws_output_copy. */
void cws_output_close(struct cws_output *output);
