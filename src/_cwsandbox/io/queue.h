/*
 * What waits for somebody to take it, in the order in which it has come: nodes that are embedded in
 * objects of one kind. Who waits for the next one registers an observer. Any thread.
 *
 * The owner may keep state under the queue's lock (cws_waiters_lock), with the functions that want
 * it held.
 */
#pragma once

#include <stdatomic.h>

#include "base/ref.h"
#include "io/waiters.h"

struct cws_queue {
    struct cws_ref ref;
    struct cws_waiters waiters; /* notified of each that comes; its lock guards `nodes` */
    struct cws_list nodes;
    atomic_size_t count; /* of `nodes` */
};

/* The caller gets one reference. NULL when out of memory. */
struct cws_queue *cws_queue_new(void);
void cws_queue_ref(struct cws_queue *queue);
/* NULL is allowed. With the last reference the queue must be empty. */
void cws_queue_unref(struct cws_queue *queue);

/* Puts the node at the end. False if it is there already. */
bool cws_queue_push(struct cws_queue *queue, struct cws_list *node);
bool cws_queue_push_lock_held(struct cws_queue *queue, struct cws_list *node);

/* Takes the node out, wherever it is. False if it was not there. */
bool cws_queue_remove(struct cws_queue *queue, struct cws_list *node);

/* The first node. NULL if there is none: then `observer` (may be NULL) was registered;
 * cws_waiters_remove(&queue->waiters, observer) unregisters it. */
struct cws_list *cws_queue_pop(struct cws_queue *queue, struct cws_observer *observer);
struct cws_list *cws_queue_pop_lock_held(struct cws_queue *queue, struct cws_observer *observer);

/* True if there is any. Otherwise `observer` was registered, as by cws_queue_pop. */
bool cws_queue_observe(struct cws_queue *queue, struct cws_observer *observer);

/* As cws_queue_observe, without an observer, a lock or a call. */
static inline bool cws_queue_has_any(struct cws_queue *queue)
{
    return atomic_load(&queue->count) != 0;
}
