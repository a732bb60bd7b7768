/*
 * A list of observers that wait for something, under a lock. Each is notified once, and is then off
 * the list.
 *
 * Futures (done, once) and streams (readable, many times) are both built on it. The owner of the
 * list keeps its state under the same lock, so that "check the state, or else wait" cannot miss a
 * change. Any thread.
 */
#pragma once

#include <pthread.h>

#include "base/list.h"

/* Embedded in the object that waits. `notify` is called once, with the list's lock held, on the
 * thread that made the change. It may only release a lock or put a letter into a mailbox, and must
 * not touch the list. */
struct cws_observer {
    struct cws_list node;
    void (*notify)(struct cws_observer *observer);
};

struct cws_waiters {
    pthread_mutex_t lock;
    struct cws_list observers;
};

void cws_waiters_init(struct cws_waiters *waiters);
void cws_waiters_done(struct cws_waiters *waiters); /* no observer may be left */

static inline void cws_waiters_lock(struct cws_waiters *waiters)
{
    pthread_mutex_lock(&waiters->lock);
}

static inline void cws_waiters_unlock(struct cws_waiters *waiters)
{
    pthread_mutex_unlock(&waiters->lock);
}

void cws_waiters_add_lock_held(struct cws_waiters *waiters, struct cws_observer *observer);
void cws_waiters_notify_lock_held(struct cws_waiters *waiters);

/* Takes the observer off the list. Once this has returned, the observer is not being notified and
 * will not be. */
void cws_waiters_remove(struct cws_waiters *waiters, struct cws_observer *observer);
