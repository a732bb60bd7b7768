/*
 * The daemon's end of the socket to an init. The form of what arrives is checked here, its meaning
 * by the receiver. Loop thread only.
 */
#pragma once

#include "box/request.h"
#include "host/watch.h"
#include "io/timer.h"

#define CWSD_LINE_PASS_RIGHTS 83 /* SO_PASSRIGHTS, which older headers do not have */

struct cwsd_line {
    struct cwsd_watch watch;
    struct cws_loop *loop;
    struct cws_list queue; /* of cwsd_request.node: not sent yet */
    struct cws_timer retry;
    uint64_t
        refused_since_ns; /* since when the kernel has taken no request; 0: it took the last one */
    /* One report. The receiver owns `fd`, unless it is -1. The line may be closed from inside. */
    void (*on_report)(struct cwsd_line *line, const struct cwsi_report *report, int fd);
    /* The last event: nobody holds the other end any more (err is NULL), or what arrived was not a
     * report. Close the line. */
    void (*on_end)(struct cwsd_line *line, const struct cws_error *err);
};

/* Takes `fd` over on success. Set the callbacks first. CWS_SYSTEM. */
enum cws_status cwsd_line_open(struct cws_loop *loop, struct cwsd_line *line, int fd,
                               struct cws_error *err) CWS_MUST_CHECK;

/* Sends the request now, or once the init has taken the previous ones; requests arrive in order.
 * The request's memory must stay valid until it was sent (its node is then in no list), or until
 * the line is closed. */
void cwsd_line_send(struct cwsd_line *line, struct cwsd_request *request);

/* From now on the peer cannot send descriptors: closing one that nobody asked for may take as long
 * as its sender likes (a socket that lingers). Without effect before Linux 6.16. */
void cwsd_line_take_no_fds(struct cwsd_line *line);

/* Closes the sending side. The init sees that and ends; its reports still arrive. */
void cwsd_line_end(struct cwsd_line *line);

/* Closes the line and drops what is queued. `closed` as in watch.h. */
void cwsd_line_close(struct cwsd_line *line, void (*closed)(struct cwsd_watch *watch));
