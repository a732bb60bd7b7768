/*
 * A guest is a thread that waits for something the loop will bring about. If nobody has the turn,
 * it runs the loop itself (turn.h says why); otherwise it sleeps and relies on the loop's own
 * thread. Any thread but the loop's.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"
#include "io/loop.h"

/* A signal that arrives just before a thread goes to sleep does not wake it. A language that
 * handles signals only between its own instructions, as Python does, would miss it. So the thread
 * wakes once, this long after it went to sleep, and checks. */
#define CWS_SETTLE_NS (50 * CWS_NS_PER_MS)

enum cws_guest_state { CWS_GUEST_AWAKE, CWS_GUEST_ASLEEP, CWS_GUEST_NOTIFIED };

struct cws_guest {
    struct cws_loop *loop;
    bool is_settled; /* it has checked since something last happened in the loop */
    _Atomic(enum cws_guest_state) state;
};

/* `loop` is NULL if the result does not come from a loop. The functions below then only record the
 * notification. */
void cws_guest_init(struct cws_guest *guest, struct cws_loop *loop);

enum cws_guest_run {
    CWS_GUEST_BUSY,        /* another thread has the turn, or the loop has stopped: sleep */
    CWS_GUEST_DONE,        /* notified */
    CWS_GUEST_TIMED_OUT,   /* the deadline has passed */
    CWS_GUEST_INTERRUPTED, /* a signal may have arrived: handle it, then call again */
};

/* Runs the loop in the calling thread until the guest is notified or the deadline (monotonic ns)
 * has passed. SIGPIPE is blocked meanwhile. */
enum cws_guest_run cws_guest_run(struct cws_guest *guest, uint64_t deadline_ns);

/* Before the thread sleeps: from now on the loop's own thread does the work. */
void cws_guest_sleep(struct cws_guest *guest);

/* Any thread, from an observer: the result has arrived. */
void cws_guest_notify(struct cws_guest *guest);

/* After the wait, whether or not the guest was notified. No observer may be able to notify it any
 * more. The guest may then wait again. */
void cws_guest_rise(struct cws_guest *guest);

/* As cws_loop_post, but runs the task before it returns if nobody has the turn. For work that the
 * calling thread's caller has just asked for. Never blocks. */
void cws_loop_post_here(struct cws_loop *loop, struct cws_task *task);

/* The calling thread asked for the outcome of what it posted and found it ready. So its next post
 * may run at once again. */
void cws_loop_note_outcome(struct cws_loop *loop);

/* For waiters that are not blocked threads, such as another kind of event loop: one begins, or
 * ceases, to wait for something the loop brings about. */
void cws_loop_rely_begin(struct cws_loop *loop);
void cws_loop_rely_end(struct cws_loop *loop);
