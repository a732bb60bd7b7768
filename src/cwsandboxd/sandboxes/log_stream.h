/*
 * One client's reading of a sandbox's log. Loop thread only.
 *
 * At most one piece of the log is read at a time, on another thread, and the next one when the
 * client has taken enough of what it was sent. A client that is slower than the command keeps
 * nobody waiting: once what it needs is overwritten it is told so.
 */
#pragma once

#include <time.h>

#include "sandboxes/pool.h"

struct cwsd_log_stream;

/* Used only during cwsd_log_stream_open. */
struct cwsd_log_request {
    const char *sandbox_id;
    const char *container; /* "": the primary one */
    bool follow;           /* until the log ends; else what has been written by now */
    bool timestamps;
    int32_t tail_lines;           /* 0: all */
    const struct timespec *since; /* NULL: whatever their age */
    const char *session;          /* resume it after `offset` bytes; "": a new one */
    uint64_t offset;
};

struct cwsd_log_piece {
    const uint8_t *data; /* valid during the event */
    size_t len;
    struct timespec time; /* of the first line in it, or of what is left of that line */
    const char *session;
    uint64_t next_offset; /* the session's bytes up to and with these */
};

struct cwsd_log_events {
    void (*on_piece)(void *ctx, const struct cwsd_log_piece *piece);
    /* The last event: everything has been delivered. */
    void (*on_end)(void *ctx);
    /* The last event instead: what the client needs is not there. `code` is a LogStreamError's. */
    void (*on_broken)(void *ctx, const char *code, const char *message);
    /* The last event instead: out of memory. */
    void (*on_failed)(void *ctx, const struct cwsd_fault *fault);
};

/* Opens a log, that of an ended sandbox, too. Events follow, never from inside this call. NULL with
 * *fault set: a bad request, no such sandbox or container. */
struct cwsd_log_stream *cwsd_log_stream_open(struct cwsd_pool *pool,
                                             const struct cwsd_log_request *request,
                                             const struct cwsd_log_events *events, void *ctx,
                                             struct cwsd_fault *fault);
void cwsd_log_stream_pause(struct cwsd_log_stream *stream, bool paused);
/* No more events come. NULL is allowed. */
void cwsd_log_stream_free(struct cwsd_log_stream *stream);
