/*
 * Deadlines on a loop: one heap over one libuv timer. So thousands of calls can each have a
 * deadline without a libuv handle to close. Loop thread.
 */
#pragma once

#include "base/clock.h"
#include "io/loop.h"

struct cws_timer {
    uint64_t due_ns;
    size_t index;                          /* place in the heap + 1; 0: not set */
    void (*fire)(struct cws_timer *timer); /* the timer is unset by then; may free its memory */
};

void cws_timer_init(struct cws_timer *timer, void (*fire)(struct cws_timer *timer));

/* Sets or moves the timer. CWS_NO_DEADLINE unsets it. Fails only with CWS_NO_MEMORY. */
enum cws_status cws_timer_set(struct cws_loop *loop, struct cws_timer *timer,
                              uint64_t due_ns) CWS_MUST_CHECK;

/* Harmless when it is not set. */
void cws_timer_cancel(struct cws_loop *loop, struct cws_timer *timer);
