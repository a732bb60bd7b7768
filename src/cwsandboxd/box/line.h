/*
 * The daemon's end of the socket to an init. What arrives is checked for its form here and for its
 * sense by the receiver. Loop thread only.
 */
#pragma once

#include "box/request.h"
#include "host/watch.h"
#include "io/timer.h"

struct cwsd_line {
    struct cwsd_watch watch;
    struct cws_loop *loop;
    struct cws_list queue; /* of cwsd_request.node: not sent yet */
    struct cws_timer retry;
    uint64_t refused_since_ns; /* the kernel has taken nothing since then; 0: it took the last */
    /* `fd`, if not -1, is the receiver's. The line may be closed from inside. */
    void (*on_report)(struct cwsd_line *line, const struct cwsi_report *report, int fd);
    /* Last: nobody holds the other end any more (err is NULL), or what came was no report. Close
     * the line. */
    void (*on_end)(struct cwsd_line *line, const struct cws_error *err);
};

/* Takes `fd` over on success. The callbacks are set before. CWS_SYSTEM. */
enum cws_status cwsd_line_open(struct cws_loop *loop, struct cwsd_line *line, int fd,
                               struct cws_error *err) CWS_MUST_CHECK;

/* Sends it now or when the init has taken what was sent before; requests arrive in order. The
 * memory must stay until it was sent (its node is in no list then) or the line is closed. */
void cwsd_line_send(struct cwsd_line *line, struct cwsd_request *request);

/* The init reads the end of the socket, and ends; its reports still arrive. */
void cwsd_line_end(struct cwsd_line *line);

/* What is queued is dropped. `closed` as in watch.h. */
void cwsd_line_close(struct cwsd_line *line, void (*closed)(struct cwsd_watch *watch));
