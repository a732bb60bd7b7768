/*
 * One output stream of a command: its bytes as received, and a cursor that hands them out as lines
 * or as they come.
 *
 * The loop thread appends; any thread reads. What is kept is one of three:
 *
 *   CWS_OUTPUT_ALL     everything, once. Bytes never move once appended, so a line is looked at
 *                      without a lock.
 *   CWS_OUTPUT_UNREAD  what no reader has taken yet.
 *   CWS_OUTPUT_ENDS    the first and the last bytes, as many as cws_output_limit says.
 *
 * A line ends with LF; the last one may lack it. So may a piece of a longer one: of
 * CWS_OUTPUT_LINE_MAX bytes where only unread bytes are kept, and where bytes are missing.
 *
 * Readers take turns: of cws_output_take, cws_output_put_back, cws_output_move, cws_output_attach,
 * cws_output_detach and, for CWS_OUTPUT_UNREAD, cws_output_close no two calls for an output may be
 * under way at once. All the rest may happen at any time.
 */
#pragma once

#include <stdatomic.h>

#include "base/status.h"
#include "io/waiters.h"

/* Where in a page the first byte of a large output lies, when it is a page's own: where a bytes
 * object of Python's has its first byte when glibc's malloc has mapped it (16 bytes of malloc's, 32
 * of the object's). Then cws_output_move need not copy. */
#define CWS_OUTPUT_PHASE 48

/* CWS_OUTPUT_UNREAD: the longest line that is waited for; longer ones are handed out in pieces. */
#define CWS_OUTPUT_LINE_MAX ((size_t)512 * 1024)
/* CWS_OUTPUT_UNREAD: taken bytes are reported (on_taken) when they have come to this. */
#define CWS_OUTPUT_REPORT ((size_t)64 * 1024)
/* The most bytes that are taken at once as they come. */
#define CWS_OUTPUT_TEXT_MAX ((size_t)64 * 1024)

enum cws_output_kept { CWS_OUTPUT_ALL, CWS_OUTPUT_UNREAD, CWS_OUTPUT_ENDS };

struct cws_output_chunk;

/* A place in the stream. `chunk` NULL: the very beginning. */
struct cws_output_place {
    struct cws_output_chunk *chunk;
    size_t offset; /* in the chunk */
};

/* CWS_OUTPUT_ENDS: the last bytes, in a ring. */
struct cws_output_tail {
    size_t max;
    uint8_t *data;   /* NULL before the first byte */
    size_t start;    /* of the oldest byte */
    size_t len;      /* <= max */
    bool is_foreign; /* `data` is of cws_output_move */
};

struct cws_output {
    struct cws_waiters waiters; /* notified of what readers wait for and of the end; its lock guards
                                   `synced` */
    /* Fixed at the start: */
    enum cws_output_kept kept;
    void (*on_taken)(struct cws_output *output); /* UNREAD: any thread */
    struct {
        struct cws_output_chunk *_Atomic first; /* written under the lock, or by a reader of UNREAD
                                                   whose turn it is */
        atomic_bool ended;                      /* nothing more will come */
        atomic_bool closed;  /* the reader has closed its side: iteration is over */
        atomic_size_t taken; /* UNREAD: bytes that readers have taken or that were let go */
    } shared;                /* any thread's, without a lock */
    struct {
        /* The first five are written by the loop thread alone, but for the end of it all, and read
         * by it without the lock. */
        struct cws_output_chunk *last;
        size_t size;                 /* bytes received */
        size_t head_max;             /* so many of them go into chunks */
        size_t head_len;             /* bytes in chunks */
        struct cws_output_tail tail; /* ENDS */
        bool wants_bytes;            /* a reader waits for any byte, not for a line */
        bool discards;               /* nothing is kept any more */
        bool has_reader;
        size_t untold; /* UNREAD: bytes that were let go unread since a reader was last told */
    } synced;
    struct {
        struct cws_output_place cursor; /* of the next line */
        struct cws_output_place before; /* of the line taken last */
        struct cws_output_place scan;   /* up to here there is no LF after the cursor */
        size_t line_len;                /* bytes between the two */
        size_t taken_len;               /* UNREAD: of the line taken last */
        size_t unreported;              /* UNREAD: bytes taken since on_taken */
        size_t read_at, read_before;    /* ENDS: the same places, counted from the stream's start */
        size_t scan_at;
        uint8_t *copy; /* ENDS: the line taken last */
        size_t copy_cap;
    } reader_only; /* the reader's whose turn it is; the loop thread's when there is none */
};

/* Keeps everything, until told otherwise. */
void cws_output_init(struct cws_output *output);
/* No reader may be left. */
void cws_output_done(struct cws_output *output);

/* Before the first append: only unread bytes are kept. `on_taken` is called by the reader's thread
 * when it has taken CWS_OUTPUT_REPORT bytes, begins to wait, or is gone. It must not call this
 * output. */
void cws_output_keep_unread(struct cws_output *output, void (*on_taken)(struct cws_output *));
/* Before the first append: only the first and the last half of `max` bytes are kept (the first has
 * the odd one). */
void cws_output_keep_ends(struct cws_output *output, size_t max);

/* ---- the loop thread's ---------------------------------------------------------------------- */

/* CWS_NO_MEMORY: nothing of it is kept. */
enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data,
                                  size_t len) CWS_MUST_CHECK;
void cws_output_end(struct cws_output *output);

/* Of a closed output that keeps everything: what has come stays, of what is yet to come only the
 * first bytes (up to `max` / 2 in all) and the last max / 2 are kept. */
void cws_output_limit(struct cws_output *output, size_t max);

/* Nobody is going to look at it any more, or it is closed and keeps unread bytes only: frees what
 * is kept, and keeps nothing of what is yet to come. */
void cws_output_discard(struct cws_output *output);

/* UNREAD: without a reader, all but about the last `max` bytes are let go; the next reader is told
 * of it. False when there is a reader. */
bool cws_output_let_go(struct cws_output *output, size_t max);

/* A reader waits for what it holds not yet. */
bool cws_output_is_waited_for(struct cws_output *output);

/* UNREAD: bytes that hold the sender back: those that no reader has taken, unless one waits for
 * more. */
size_t cws_output_held(struct cws_output *output);

/* ---- readers -------------------------------------------------------------------------------- */

/* A reader has come into existence or is gone; at most one exists at a time. */
void cws_output_attach(struct cws_output *output);
void cws_output_detach(struct cws_output *output);

enum cws_output_next {
    CWS_OUTPUT_TAKEN, /* *out_line holds a line or text */
    CWS_OUTPUT_EMPTY, /* none yet: `observer` was registered if it was given */
    CWS_OUTPUT_GAP,   /* out_line->len bytes are missing here. Told once: what follows is next */
    CWS_OUTPUT_END,   /* all was handed out, or the reader was closed */
    CWS_OUTPUT_NO_MEMORY, /* ENDS: for a copy of it; nothing was taken */
};

enum cws_output_item {
    CWS_OUTPUT_LINE, /* up to LF */
    CWS_OUTPUT_TEXT, /* what is there, up to CWS_OUTPUT_TEXT_MAX bytes; UTF-8 characters are whole
                      */
};

/* A line or text, or a piece of it that was received in several. */
struct cws_output_line {
    const uint8_t *data; /* ALL: valid while the output lives; else until the next is taken */
    size_t len;
    size_t
        rest; /* bytes of the line after these; 0 for nearly all lines: see cws_output_next_piece */
    struct cws_output_chunk *chunk;
};

/* Any thread: takes the next item off the cursor. With nothing there, `observer` (may be NULL) is
 * registered at the same moment; take it back with cws_waiters_remove(&output->waiters,
 * observer). */
enum cws_output_next cws_output_take(struct cws_output *output, enum cws_output_item item,
                                     struct cws_output_line *out_line,
                                     struct cws_observer *observer) CWS_MUST_CHECK;

/* Any thread: moves on to the line's next piece; false after the last. */
bool cws_output_next_piece(struct cws_output_line *line);

/* Any thread: gives back what was taken last, which could not be used; it is next again. */
void cws_output_put_back(struct cws_output *output);

/* Any thread: ends the reader's side; what was not taken is skipped. It stays for cws_output_copy
 * where it is kept at all. */
void cws_output_close(struct cws_output *output);

/* ---- everything at once --------------------------------------------------------------------- */

/* Any thread: bytes kept so far for cws_output_copy (none of CWS_OUTPUT_UNREAD's). */
size_t cws_output_size(struct cws_output *output);
/* Any thread: bytes received, kept or not. */
size_t cws_output_received(struct cws_output *output);
/* Any thread: bytes received that are not among them, and how many of those kept are in front of
 * them. */
size_t cws_output_omitted(struct cws_output *output, size_t *out_before);
/* Any thread: a copy of the first `len` bytes kept. */
void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len);

/* After the last append, until it succeeds: moves all bytes kept to `to`, which has room for
 * cws_output_size of them and stands in for the output's own memory from then on: it must stay as
 * it is as long as the output lives. The own memory is given up piece by piece on the way, so that
 * there are never two copies of large output. No other thread may be using the output or a line of
 * it.
 *
 * CWS_NO_MEMORY, which hardly ever comes: `to` is damaged and must stay allocated for ever, as a
 * part of it may be the output's, and another part somebody else's (CWS_PAGES_LOST). The output is
 * whole and may be moved again, to other memory. */
enum cws_status cws_output_move(struct cws_output *output, uint8_t *to) CWS_MUST_CHECK;
