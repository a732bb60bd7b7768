#include "io/waiters.h"

void cws_waiters_init(struct cws_waiters *waiters)
{
    pthread_mutex_init(&waiters->lock, NULL);
    cws_list_init(&waiters->observers);
}

void cws_waiters_done(struct cws_waiters *waiters)
{
    assert(cws_list_is_empty(&waiters->observers));
    pthread_mutex_destroy(&waiters->lock);
}

void cws_waiters_add_lock_held(struct cws_waiters *waiters, struct cws_observer *observer)
{
    cws_list_push_back(&waiters->observers, &observer->node);
}

void cws_waiters_notify_lock_held(struct cws_waiters *waiters)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&waiters->observers)) != NULL) {
        struct cws_observer *observer = cws_list_entry(node, struct cws_observer, node);
        observer->notify(observer);
    }
}

void cws_waiters_remove(struct cws_waiters *waiters, struct cws_observer *observer)
{
    /* Notifying happens under the lock, so holding it once is enough to know that it is over. */
    cws_waiters_lock(waiters);
    cws_list_remove(&observer->node);
    cws_waiters_unlock(waiters);
}
