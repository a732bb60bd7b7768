/*
 * A descriptor on which the daemon's life depends: one end of a pipe or socket whose other end is
 * held by the program that started the daemon. So a private daemon ends when its client ends,
 * however that happens. Unlike a process id, a descriptor means the same in every pid namespace,
 * and the daemon need not be the client's child. Loop thread only.
 */
#pragma once

#include "host/watch.h"

struct cwsd_lifeline {
    struct cwsd_watch watch; /* fd -1: not open */
    /* Bytes have arrived: the other end asks the daemon to end in good order. */
    void (*asked)(struct cwsd_lifeline *lifeline);
    /* Nobody holds the other end any more. Called once; the lifeline is closed by then. */
    void (*lost)(struct cwsd_lifeline *lifeline);
};

/* Takes `fd` over on success. Set the callbacks first. The struct is the caller's memory, and must
 * stay valid until the loop is freed. CWS_SYSTEM: this kind of descriptor cannot be watched. */
enum cws_status cwsd_lifeline_open(struct cwsd_lifeline *lifeline, struct cws_loop *loop, int fd,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* Stops the events. Returns the descriptor, which stays open, so that the other end sees the
 * process end and not something earlier; -1 if the lifeline is not open. */
int cwsd_lifeline_release(struct cwsd_lifeline *lifeline);
