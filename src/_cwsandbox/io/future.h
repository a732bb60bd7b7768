/*
 * A one-shot completion flag, embedded in the operation whose result it announces.
 *
 * The producer writes the result into the operation, then completes the future; who sees
 * cws_future_is_done true sees the result. The producer must hold a reference of its own to the
 * operation across the call.
 */
#pragma once

#include <stdatomic.h>

#include "io/waiters.h"

struct cws_future {
    atomic_bool done;
    struct cws_waiters waiters;
    /* Set after init by who wants to know that somebody waits: called after each registration, on
     * the thread that waits, without a lock. */
    void (*on_observed)(struct cws_future *future);
};

void cws_future_init(struct cws_future *future);
void cws_future_done(struct cws_future *future); /* frees what it holds */

/* Any thread. Completing twice is a bug. */
void cws_future_complete(struct cws_future *future);
static inline bool cws_future_is_done(const struct cws_future *future)
{
    return atomic_load_explicit(&future->done, memory_order_acquire);
}

/* Any thread: true when registered; false when already done (then `observer` is never notified).
 * cws_waiters_remove(&future->waiters, observer) unregisters it. */
bool cws_future_observe(struct cws_future *future, struct cws_observer *observer);
/* Any thread: whether somebody waits for it. */
bool cws_future_is_observed(struct cws_future *future);
