/*
 * The log of one sandbox: takes what its main command writes from the pipe, and stores it. Loop
 * thread only; the disk is waited for on other threads.
 *
 * One read is under way to the disk at a time, and the pipe is not read meanwhile. So a command
 * that writes without end is held back by the disk alone, and takes one read of memory and one read
 * in each round of the loop.
 */
#pragma once

#include "base/list.h"
#include "host/watch.h"
#include "store/ring.h"

struct cwsd_log {
    struct cws_loop *loop;
    unsigned refs;
    struct cwsd_ring ring;
    struct cwsd_watch pipe;
    uint64_t taken;    /* bytes read from the pipe */
    bool writers_gone; /* cwsd_log_end was called */
    bool ended;        /* nothing will be appended any more */
    unsigned readers;
    struct cws_list listeners; /* of cwsd_log_listener.node */

    bool disk_fails; /* the last record could not be written */

    /* Of an earlier daemon's log. */
    bool recovering;
    bool forgets; /* what is being recovered is to be dropped then */
    struct cws_error recovery;

    uv_work_t work; /* an append, or what is done after the end */
    bool working;
    struct cwsd_ring_record *record; /* being appended */
    uint64_t record_us;
    bool appended; /* how that went; the other thread's until its work is done */
};

/* Told whenever there is more to read, and once the log has ended. */
struct cwsd_log_listener {
    struct cws_list node;
    void (*grown)(struct cwsd_log_listener *listener);
};

/* A log in the file `path`, which is made when something is written. The caller has one reference.
 * NULL when out of memory. */
struct cwsd_log *cwsd_log_new(struct cws_loop *loop, const char *path, uint64_t capacity);
struct cwsd_log *cwsd_log_ref(struct cwsd_log *log);
/* NULL is allowed. The last one removes the file, unless it is kept. */
void cwsd_log_unref(struct cwsd_log *log);

/* The file stays, for later daemons. Before anything else. */
void cwsd_log_keep(struct cwsd_log *log);
/* The file is not kept after all. */
void cwsd_log_discard(struct cwsd_log *log);
/* Instead of cwsd_log_open: the log is what an earlier daemon kept in the file, and has ended. Not
 * yet known are its content and its key, while the ring is unread. */
void cwsd_log_take_over(struct cwsd_log *log);
/* Reads what must be known of it. Listeners are told; if the ring is still unread then, `recovery`
 * says why. Harmless while that is under way. */
void cwsd_log_recover(struct cwsd_log *log);

/* Makes the pipe, once. *out_fd, which is never 0, is where the command writes; it is the caller's.
 * CWS_SYSTEM. */
enum cws_status cwsd_log_open(struct cwsd_log *log, int *out_fd,
                              struct cws_error *err) CWS_MUST_CHECK;
/* No process of the sandbox is left: the log ends with what is in the pipe, even if somebody still
 * holds its other end. Harmless if repeated. */
void cwsd_log_end(struct cwsd_log *log);

/* Drops the content of a log that has ended. Readers are told that it was overwritten. Once. */
void cwsd_log_forget(struct cwsd_log *log);

/* How many bytes have been written to the log so far, including what is still in the pipe. */
uint64_t cwsd_log_written(const struct cwsd_log *log);

/* A reader begins, who is told by way of the listener; holds a reference. */
void cwsd_log_join(struct cwsd_log *log, struct cwsd_log_listener *listener);
void cwsd_log_leave(struct cwsd_log *log, struct cwsd_log_listener *listener);
