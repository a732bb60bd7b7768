/*
 * One output stream of a command: the bytes as received, kept once, and a cursor that hands them
 * out as lines.
 *
 * The loop thread appends; any thread reads. Bytes never move once appended, so a line is looked at
 * without a lock. A line ends with LF; the last one may lack it.
 *
 * Readers of lines take turns: of cws_output_take_line, cws_output_put_back and cws_output_move no
 * two calls for an output may be under way at once. All the rest may happen at any time.
 */
#pragma once

#include <stdatomic.h>

#include "base/status.h"
#include "io/waiters.h"

/* Where in a page the first byte of a large output lies, when it is a page's own: where a bytes
 * object of Python's has its first byte when glibc's malloc has mapped it (16 bytes of malloc's, 32
 * of the object's). Then cws_output_move need not copy. */
#define CWS_OUTPUT_PHASE 48

struct cws_output_chunk;

/* A place in the stream. `chunk` NULL: the very beginning. */
struct cws_output_place {
    struct cws_output_chunk *chunk;
    size_t offset; /* in the chunk */
};

struct cws_output {
    struct cws_waiters waiters; /* notified of the end of a line and of all; guards `last`, `size`
                                   and setting the next three */
    struct cws_output_chunk *_Atomic first;
    atomic_bool ended;  /* nothing more will come */
    atomic_bool closed; /* the reader has closed its side: iteration is over */
    struct cws_output_chunk *last;
    size_t size; /* bytes received */
    /* The reader's whose turn it is: */
    struct cws_output_place cursor; /* of the next line */
    struct cws_output_place before; /* of the line taken last */
    struct cws_output_place scan;   /* up to here there is no LF after the cursor */
    size_t line_len;                /* bytes between the two */
};

void cws_output_init(struct cws_output *output);
/* No reader may be left. */
void cws_output_done(struct cws_output *output);

/* Loop thread. CWS_NO_MEMORY. */
enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data,
                                  size_t len) CWS_MUST_CHECK;
void cws_output_end(struct cws_output *output);

enum cws_output_next {
    CWS_OUTPUT_LINE,  /* *out_line holds a line */
    CWS_OUTPUT_EMPTY, /* none yet: `observer` was registered if it was given */
    CWS_OUTPUT_END,   /* all lines were handed out, or the reader was closed */
};

/* A line, or a piece of one that was received in several. */
struct cws_output_line {
    const uint8_t *data; /* valid while the output lives */
    size_t len;
    size_t
        rest; /* bytes of the line after these; 0 for nearly all lines: see cws_output_next_piece */
    struct cws_output_chunk *chunk;
};

/* Any thread: takes the next line off the cursor. With nothing there, `observer` (may be NULL) is
 * registered at the same moment; take it back with cws_waiters_remove(&output->waiters,
 * observer). */
enum cws_output_next cws_output_take_line(struct cws_output *output,
                                          struct cws_output_line *out_line,
                                          struct cws_observer *observer) CWS_MUST_CHECK;

/* Any thread: moves on to the line's next piece; false after the last. */
bool cws_output_next_piece(struct cws_output_line *line);

/* Any thread: gives back the line taken last, which could not be used; it is next again. */
void cws_output_put_back(struct cws_output *output);

/* Any thread: bytes received so far, and a copy of the first `len` of them. */
size_t cws_output_size(struct cws_output *output);
void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len);

/* After the last append, once: moves all bytes to `to`, which has room for cws_output_size of them
 * and stands in for the output's own memory from then on: it must stay as it is as long as the
 * output lives. The own memory is given up piece by piece on the way, so that there are never two
 * copies of large output. No other thread may be using the output or a line of it. */
void cws_output_move(struct cws_output *output, uint8_t *to);

/* Any thread: ends the reader's side; lines not taken are skipped; what was received stays for
 * cws_output_copy. */
void cws_output_close(struct cws_output *output);
