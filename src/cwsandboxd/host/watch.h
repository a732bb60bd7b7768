/*
 * A descriptor watched by the loop: a pipe end, a socket, a pidfd. Embedded in what it is for; owns
 * the descriptor. Loop thread only.
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
    bool busy; /* the memory is still in use, also for a while after the close */
    /* `events` has UV_READABLE, UV_WRITABLE, or both when the descriptor is broken or its peer is
     * gone. */
    void (*ready)(struct cwsd_watch *watch, int events);
    void (*closed)(struct cwsd_watch *watch);
};

/* Takes `fd` over on success, and makes it non-blocking; nothing is watched for yet. CWS_SYSTEM. */
enum cws_status cwsd_watch_open(struct cws_loop *loop, struct cwsd_watch *watch, int fd,
                                void (*ready)(struct cwsd_watch *watch, int events),
                                struct cws_error *err) CWS_MUST_CHECK;

/* What to watch for from now on: UV_READABLE, UV_WRITABLE, both or 0. Nothing happens when it is
 * not open. Where the kernel refuses it is tried again until it does not: others of this user may
 * have taken all the watches, for a while. */
void cwsd_watch_for(struct cwsd_watch *watch, int events);

/* Closes the descriptor at once; `closed` is called later, never from inside, when the memory is
 * free to go. Nothing happens when it is not open. */
void cwsd_watch_close(struct cwsd_watch *watch, void (*closed)(struct cwsd_watch *watch));

/* The same without closing the descriptor, which is the caller's then; -1 when it is not open. */
int cwsd_watch_take(struct cwsd_watch *watch,
                    void (*closed)(struct cwsd_watch *watch)) CWS_MUST_CHECK;
