/*
 * The log of one sandbox: reads what the main command writes into the pipe, and stores it. Loop
 * thread only; other threads wait for the disk.
 *
 * One record is written to the disk at a time, and the pipe is not read meanwhile. So only the disk
 * slows down a command that writes without end. Such a command takes the memory of one read, and
 * one read in each iteration of the loop.
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
    bool ended;        /* nothing more will be appended */
    unsigned readers;
    struct cws_list listeners; /* of cwsd_log_listener.node */

    bool disk_fails; /* the last record could not be written */

    /* For the log of an earlier daemon: */
    bool recovering;
    bool forgets; /* drop the content once it has been recovered */
    struct cws_error recovery;

    uv_work_t work; /* an append, or the work after the end */
    bool working;
    struct cwsd_ring_record *record; /* being appended */
    uint64_t record_us;
    bool appended; /* the outcome; belongs to the other thread until its work is done */
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
/* NULL is allowed. The last unref removes the file, unless it is kept. */
void cwsd_log_unref(struct cwsd_log *log);

/* The file stays, for later daemons. Call it before anything else. */
void cwsd_log_keep(struct cwsd_log *log);
/* The file is not kept after all. */
void cwsd_log_discard(struct cwsd_log *log);
/* Instead of cwsd_log_open: the log is what an earlier daemon has kept in the file, and has ended.
 * Its content and its key are unknown while the ring is unread. */
void cwsd_log_take_over(struct cwsd_log *log);
/* Reads the file of such a log, and then tells the listeners. If the ring is still unread,
 * `recovery` says why. Harmless while that is under way. */
void cwsd_log_recover(struct cwsd_log *log);

/* Makes the pipe. Call it once. *out_fd, which is never 0, is the end for the command; the caller
 * owns it. CWS_SYSTEM. */
enum cws_status cwsd_log_open(struct cwsd_log *log, int *out_fd,
                              struct cws_error *err) CWS_MUST_CHECK;
/* The sandbox has no processes left: the log ends with what is in the pipe, even if somebody still
 * holds the other end. Harmless if repeated. */
void cwsd_log_end(struct cwsd_log *log);

/* Drops the content of a log that has ended. Readers are told that it was overwritten. Call it
 * once. */
void cwsd_log_forget(struct cwsd_log *log);

/* How many bytes have been written to the log so far, including what is still in the pipe. */
uint64_t cwsd_log_written(const struct cwsd_log *log);

/* Adds a reader, which is told of news through the listener, and holds a reference. */
void cwsd_log_join(struct cwsd_log *log, struct cwsd_log_listener *listener);
void cwsd_log_leave(struct cwsd_log *log, struct cwsd_log_listener *listener);
