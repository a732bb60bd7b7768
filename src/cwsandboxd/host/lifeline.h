/*
 * A descriptor that the daemon's life hangs on: the end of a pipe or socket whose other end whoever
 * started it holds, so that a private daemon ends with its client however that ends. Unlike a
 * process id it means the same in every pid namespace, and needs no child. Loop thread only.
 */
#pragma once

#include "host/watch.h"

struct cwsd_lifeline {
    struct cwsd_watch watch; /* fd -1: not open */
    /* Bytes came: the other end asks for the end in good order. */
    void (*asked)(struct cwsd_lifeline *lifeline);
    /* Nobody holds the other end any more; told once, and closed. */
    void (*lost)(struct cwsd_lifeline *lifeline);
};

/* Takes `fd` over on success; the callbacks are set before. CWS_SYSTEM: it is of a kind that cannot
 * be watched. Caller's memory, until the loop is freed. */
enum cws_status cwsd_lifeline_open(struct cwsd_lifeline *lifeline, struct cws_loop *loop, int fd,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* No more events. The descriptor, returned, stays open, so that the other end sees when the process
 * is gone and not before; -1 when it was not open. */
int cwsd_lifeline_release(struct cwsd_lifeline *lifeline);
