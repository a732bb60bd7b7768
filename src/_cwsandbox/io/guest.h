/*
 * A thread that waits for something its loop is to bring about: it runs the loop itself if that is
 * nobody's turn (turn.h says why), else it sleeps, relying on the loop's own thread. Any thread but
 * the loop's.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"
#include "io/loop.h"

/* A signal that comes just before a thread goes to sleep wakes nobody. So a thread whose language
 * acts on signals only between its instructions, as Python does, looks up once so long after it
 * went to sleep. */
#define CWS_SETTLE_NS (50 * CWS_NS_PER_MS)

enum cws_guest_state { CWS_GUEST_AWAKE, CWS_GUEST_ASLEEP, CWS_GUEST_NOTIFIED };

struct cws_guest {
    struct cws_loop *loop;
    bool is_settled; /* it has looked up since something happened in the loop */
    _Atomic(enum cws_guest_state) state;
};

/* `loop` NULL: what is waited for comes from elsewhere; then all below only keeps account of the
 * notice. */
void cws_guest_init(struct cws_guest *guest, struct cws_loop *loop);

enum cws_guest_run {
    CWS_GUEST_BUSY,        /* it is another thread's turn, or the loop has stopped: sleep */
    CWS_GUEST_DONE,        /* notified */
    CWS_GUEST_TIMED_OUT,   /* the deadline has passed */
    CWS_GUEST_INTERRUPTED, /* a signal handler may have run: look, and go on */
};

/* Runs the loop in the calling thread until the guest is notified or the deadline (monotonic ns)
 * has passed. SIGPIPE is blocked meanwhile. */
enum cws_guest_run cws_guest_run(struct cws_guest *guest, uint64_t deadline_ns);

/* Before the thread sleeps: the loop's own thread is to see to what is waited for. */
void cws_guest_sleep(struct cws_guest *guest);

/* Any thread, from an observer: what is waited for is there. */
void cws_guest_notify(struct cws_guest *guest);

/* After the wait, whether or not notified; the guest may then wait again. It must be in no
 * observer's reach. */
void cws_guest_rise(struct cws_guest *guest);

/* As cws_loop_post, for work that the calling thread has just been asked for: runs the task before
 * it returns if the loop is nobody's turn. Never blocks. */
void cws_loop_post_here(struct cws_loop *loop, struct cws_task *task);

/* The calling thread has found the outcome of what it posted there when it asked: its next post may
 * again be run at once. */
void cws_loop_note_outcome(struct cws_loop *loop);

/* Something that is no thread, such as an event loop of another kind, begins and ends to wait for
 * what the loop brings about. */
void cws_loop_rely_begin(struct cws_loop *loop);
void cws_loop_rely_end(struct cws_loop *loop);
