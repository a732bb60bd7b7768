/*
 * The file operations for which somebody has to do something: one call was not enough, or their
 * starter has left. Any thread.
 */
#pragma once

#include "base/ref.h"
#include "base/status.h"
#include "io/waiters.h"

/* Embedded in each operation; guarded by the queue's lock. */
struct cws_file_place {
    struct cws_list node;
    bool is_unfinished; /* its call was not enough */
};

struct cws_file_queue {
    struct cws_ref ref;
    struct cws_waiters waiters; /* notified of each that comes; its lock guards `places` */
    struct cws_list places;
};

/* The caller gets one reference. NULL when out of memory. */
struct cws_file_queue *cws_file_queue_new(void);
void cws_file_queue_ref(struct cws_file_queue *queue);
void cws_file_queue_unref(struct cws_file_queue *queue); /* NULL is allowed */

/* Puts it at the end. False if it is there already. `is_unfinished`: its call has ended and was not
 * enough. */
bool cws_file_queue_push(struct cws_file_queue *queue, struct cws_file_place *place,
                         bool is_unfinished);
/* Takes it out, wherever it is. False if it was not there. */
bool cws_file_queue_remove(struct cws_file_queue *queue, struct cws_file_place *place);
/* The first one. *out_unfinished: as in the push. NULL if there is none: then `observer` (may be
 * NULL) was registered; cws_waiters_remove(&queue->waiters, observer) unregisters it. */
struct cws_file_place *cws_file_queue_pop(struct cws_file_queue *queue, bool *out_unfinished,
                                          struct cws_observer *observer);
