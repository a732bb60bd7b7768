/*
 * A descriptor watched by the loop: a pipe end, a socket, a pidfd. Embedded in the object that uses
 * it. Owns the descriptor. Loop thread only.
 */
#pragma once

#include "io/timer.h"
#include "io/uv.h"

struct cwsd_watch {
    struct cws_loop *loop;
    uv_poll_t poll;
    struct cws_timer retry; /* set while the kernel has no watch left for it */
    int fd;                 /* -1: not open */
    int wanted;
    bool busy; /* libuv still uses the memory, even for a while after the close */
    /* `events` is UV_READABLE, UV_WRITABLE or both; it is both if the descriptor is broken or its
     * peer is gone. */
    void (*ready)(struct cwsd_watch *watch, int events);
    void (*closed)(struct cwsd_watch *watch);
};

/* Takes `fd` over on success, and makes it non-blocking. Watches for nothing yet. CWS_SYSTEM. */
enum cws_status cwsd_watch_open(struct cws_loop *loop, struct cwsd_watch *watch, int fd,
                                void (*ready)(struct cwsd_watch *watch, int events),
                                struct cws_error *err) CWS_MUST_CHECK;

/* Sets what to watch for: UV_READABLE, UV_WRITABLE, both or 0. Does nothing if the watch is not
 * open. Where the kernel refuses it is tried again until it does not: others of this user may have
 * taken all the watches, for a while. */
void cwsd_watch_for(struct cwsd_watch *watch, int events);

/* Closes the descriptor at once. `closed` is called later, never from inside, when the memory may
 * be freed. Does nothing if the watch is not open. */
void cwsd_watch_close(struct cwsd_watch *watch, void (*closed)(struct cwsd_watch *watch));

/* The same, but returns the descriptor to the caller instead of closing it; -1 if the watch is not
 * open. */
int cwsd_watch_take(struct cwsd_watch *watch,
                    void (*closed)(struct cwsd_watch *watch)) CWS_MUST_CHECK;
