/*
 * One output stream of a command: its bytes as received, and a cursor that hands them out as lines
 * or as they arrive.
 *
 * The loop thread appends; any thread reads. What is kept is one of:
 *
 *   CWS_OUTPUT_ALL     everything, once. Appended bytes never move, so a line is read without
 *                      a lock.
 *   CWS_OUTPUT_UNREAD  the bytes that no reader has taken yet.
 *   CWS_OUTPUT_ENDS    the first and the last bytes, as many as cws_output_keep_ends says.
 *
 * A line ends with LF. These may lack it: the last line; a piece of a line longer than `line_max`,
 * if only unread bytes are kept; and a line that is cut off by missing bytes.
 *
 * Readers take turns. No two calls for the same output may run at once of cws_output_take,
 * cws_output_put_back, cws_output_move, cws_output_attach, cws_output_detach and, with
 * CWS_OUTPUT_UNREAD, cws_output_close. Any other functions may run at any time.
 */
#pragma once

#include <stdatomic.h>

#include "base/status.h"
#include "io/waiters.h"

/* The offset within a page of the first byte of a large output that has pages of its own. A Python
 * bytes object has its first byte there too if glibc's malloc has mapped it (16 bytes for malloc,
 * 32 for the object's header). So cws_output_move need not copy. */
#define CWS_OUTPUT_PHASE 48

/* CWS_OUTPUT_UNREAD: the longest line that is handed out whole, unless cws_output_set_line_max says
 * otherwise; longer ones come in pieces. */
#define CWS_OUTPUT_LINE_MAX ((size_t)512 * 1024)
/* CWS_OUTPUT_UNREAD: on_taken is called after this many bytes were taken. */
#define CWS_OUTPUT_REPORT ((size_t)64 * 1024)
/* The most bytes in one CWS_OUTPUT_TEXT or CWS_OUTPUT_BYTES item. */
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
    size_t start;    /* index of the oldest byte */
    size_t len;      /* <= max */
    bool is_foreign; /* `data` belongs to the caller of cws_output_move */
};

struct cws_output {
    struct cws_waiters waiters; /* notified of the bytes that readers wait for and of the end; its
                                   lock guards `synced` */
    /* Fixed at the start: */
    enum cws_output_kept kept;
    void (*on_taken)(struct cws_output *output); /* UNREAD: any thread */
    size_t line_max;                             /* UNREAD */
    struct {
        struct cws_output_chunk *_Atomic first; /* written under the lock, or, with UNREAD, by the
                                                   reader whose turn it is */
        atomic_bool ended;                      /* nothing more will come */
        atomic_bool closed;  /* the reader has closed its side: iteration is over */
        atomic_size_t taken; /* UNREAD: bytes that readers have taken or that were dropped unread */
    } shared;                /* any thread's, without a lock */
    struct {
        /* Only the loop thread writes the first five (until the output is moved or freed), so it
         * reads them without the lock. */
        struct cws_output_chunk *last;
        size_t size;                 /* bytes received */
        size_t head_max;             /* how many bytes go into chunks; the rest go to the tail */
        size_t head_len;             /* bytes in chunks */
        struct cws_output_tail tail; /* ENDS */
        bool wants_bytes;            /* a reader waits for any byte, not for a line */
        bool discards;               /* nothing is kept any more */
        bool has_reader;
        bool line_is_broken; /* UNREAD: the next byte begins a line; only for the loop thread */
        size_t untold;       /* UNREAD: bytes dropped unread since a reader was last told */
    } synced;
    struct {
        struct cws_output_place cursor; /* start of the next line */
        struct cws_output_place before; /* start of the line taken last */
        struct cws_output_place scan;   /* there is no LF between the cursor and here */
        size_t line_len;                /* bytes between the two */
        size_t taken_len;               /* UNREAD: of the line taken last */
        size_t unreported;              /* UNREAD: bytes taken since on_taken */
        size_t read_at, read_before;    /* ENDS: the same places, counted from the stream's start */
        size_t scan_at;
        uint8_t *copy; /* ENDS: the line taken last */
        size_t copy_cap;
    } reader_only; /* for the reader whose turn it is; for the loop thread when there is no
                    * reader */
};

/* A new output keeps everything. */
void cws_output_init(struct cws_output *output);
/* No reader may be left. */
void cws_output_done(struct cws_output *output);

/* Before the first append: keeps only unread bytes. `on_taken` is called on the reader's thread
 * when the reader has taken CWS_OUTPUT_REPORT bytes, begins to wait, or is gone. It must not call
 * this output. */
void cws_output_keep_unread(struct cws_output *output, void (*on_taken)(struct cws_output *));
/* Before the first append, with CWS_OUTPUT_UNREAD: the longest line that is handed out whole. */
void cws_output_set_line_max(struct cws_output *output, size_t max);
/* Before the first append: keeps only the first and the last half of `max` bytes (an odd byte goes
 * to the first half). */
void cws_output_keep_ends(struct cws_output *output, size_t max);

/* ---- the loop thread's ---------------------------------------------------------------------- */

/* Appends a copy of the bytes. CWS_NO_MEMORY: none of them are kept. */
enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data,
                                  size_t len) CWS_MUST_CHECK;
void cws_output_end(struct cws_output *output);

/* UNREAD: what comes next does not continue the line that has arrived last. If that lacks its LF,
 * readers of lines never see it, unless nothing comes next. */
void cws_output_break_line(struct cws_output *output);

/* For a closed output that keeps everything. What has arrived stays. Of what is still to come only
 * the first bytes (until max / 2 are kept in all) and the last max / 2 are kept. */
void cws_output_limit(struct cws_output *output, size_t max);

/* Frees what is kept, and keeps nothing from now on. For an output that nobody can read any more,
 * or a closed one that keeps only unread bytes. */
void cws_output_discard(struct cws_output *output);

/* UNREAD: if there is no reader, drops all but about the last `max` bytes; the next reader is told
 * (CWS_OUTPUT_GAP). False if there is a reader. */
bool cws_output_let_go(struct cws_output *output, size_t max);

/* Whether a reader waits for bytes that have not arrived yet. */
bool cws_output_is_waited_for(struct cws_output *output);

/* UNREAD: how many bytes hold the sender back. Those are the bytes that no reader has taken, or 0
 * if a reader waits for more. */
size_t cws_output_held(struct cws_output *output);

/* ---- readers -------------------------------------------------------------------------------- */

/* A reader now exists, or is gone. There is at most one at a time. */
void cws_output_attach(struct cws_output *output);
void cws_output_detach(struct cws_output *output);

enum cws_output_next {
    CWS_OUTPUT_TAKEN,     /* *out_line holds a line or text */
    CWS_OUTPUT_EMPTY,     /* none yet; `observer` was registered if one was given */
    CWS_OUTPUT_GAP,       /* out_line->len bytes are missing here. Reported once; what follows comes
                           * next */
    CWS_OUTPUT_END,       /* everything was handed out, or the reader was closed */
    CWS_OUTPUT_NO_MEMORY, /* ENDS: no memory for a copy; nothing was taken */
};

enum cws_output_item {
    CWS_OUTPUT_LINE, /* up to LF */
    CWS_OUTPUT_TEXT, /* what has arrived, up to CWS_OUTPUT_TEXT_MAX bytes, without splitting a UTF-8
                      * character */
    CWS_OUTPUT_BYTES, /* what has arrived, up to CWS_OUTPUT_TEXT_MAX bytes, cut anywhere */
};

/* A line or text, or one piece of it if its bytes are not contiguous. */
struct cws_output_line {
    const uint8_t *data; /* ALL: valid while the output lives; otherwise until the next take */
    size_t len;
    size_t rest; /* bytes of the line after these, usually 0; see cws_output_next_piece */
    struct cws_output_chunk *chunk;
};

/* Any thread: takes the next item. If there is none, `observer` (may be NULL) is registered
 * atomically with that check; cws_waiters_remove(&output->waiters, observer) unregisters it. */
enum cws_output_next cws_output_take(struct cws_output *output, enum cws_output_item item,
                                     struct cws_output_line *out_line,
                                     struct cws_observer *observer) CWS_MUST_CHECK;

/* Any thread: moves on to the line's next piece; false after the last. */
bool cws_output_next_piece(struct cws_output_line *line);

/* Any thread: puts back the item that was taken last, because it could not be used. The next take
 * returns it again. */
void cws_output_put_back(struct cws_output *output);

/* Any thread: closes the reader's side. Readers get nothing more; what is kept stays for
 * cws_output_copy. */
void cws_output_close(struct cws_output *output);

/* ---- everything at once --------------------------------------------------------------------- */

/* Any thread: how many bytes are kept for cws_output_copy; 0 with CWS_OUTPUT_UNREAD. */
size_t cws_output_size(struct cws_output *output);
/* Any thread: how many bytes were received, kept or not. */
size_t cws_output_received(struct cws_output *output);
/* Any thread: how many received bytes are not kept. *out_before is how many of the kept bytes
 * precede them. */
size_t cws_output_omitted(struct cws_output *output, size_t *out_before);
/* Any thread: copies the first `len` kept bytes. */
void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len);

/* After the last append, and until it has succeeded once: moves all kept bytes to `to`, which has
 * room for cws_output_size of them. From then on `to` is the output's memory, and must not be
 * changed or freed while the output lives. The output frees its own memory piece by piece on the
 * way, so that there are never two copies of large output. No other thread may be using the output
 * or one of its lines.
 *
 * CWS_NO_MEMORY, which is very rare: `to` is damaged and must never be freed, because a part of it
 * may be in use by the output and another part by somebody else (CWS_PAGES_LOST). The output is
 * whole and may be moved again, to other memory. */
enum cws_status cws_output_move(struct cws_output *output, uint8_t *to) CWS_MUST_CHECK;
