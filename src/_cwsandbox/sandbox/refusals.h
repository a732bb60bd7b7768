/*
 * The sandboxes whose endpoints have refused calls that wait for another connection: for whoever
 * can make one. Any thread.
 */
#pragma once

#include "base/ref.h"
#include "io/waiters.h"

/* Embedded in each sandbox; guarded by the queue's lock. */
struct cws_refusal {
    struct cws_list node;
};

struct cws_refusals {
    struct cws_ref ref;
    struct cws_waiters waiters; /* notified of each that comes; its lock guards `refusals` */
    struct cws_list refusals;   /* struct cws_refusal */
};

/* The caller gets one reference. NULL when out of memory. */
struct cws_refusals *cws_refusals_new(void);
void cws_refusals_ref(struct cws_refusals *refusals);
void cws_refusals_unref(struct cws_refusals *refusals); /* NULL is allowed */

/* Puts it at the end. False if it is there already. */
bool cws_refusals_push(struct cws_refusals *refusals, struct cws_refusal *refusal);
/* The first one. NULL if there is none: then `observer` (may be NULL) was registered;
 * cws_waiters_remove(&refusals->waiters, observer) unregisters it. */
struct cws_refusal *cws_refusals_pop(struct cws_refusals *refusals, struct cws_observer *observer);
