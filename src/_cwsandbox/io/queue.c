#include "io/queue.h"

#include "base/alloc.h"

struct cws_queue *cws_queue_new(void)
{
    struct cws_queue *queue = cws_malloc(sizeof(*queue));
    if (!queue)
        return NULL;
    cws_ref_init(&queue->ref);
    cws_waiters_init(&queue->waiters);
    cws_list_init(&queue->nodes);
    atomic_init(&queue->count, 0);
    return queue;
}

void cws_queue_ref(struct cws_queue *queue)
{
    cws_ref_get(&queue->ref);
}

void cws_queue_unref(struct cws_queue *queue)
{
    if (!queue || !cws_ref_put(&queue->ref))
        return;
    cws_waiters_done(&queue->waiters);
    cws_free(queue);
}

bool cws_queue_push_lock_held(struct cws_queue *queue, struct cws_list *node)
{
    if (!cws_list_is_empty(node))
        return false;
    cws_list_push_back(&queue->nodes, node);
    atomic_fetch_add(&queue->count, 1);
    cws_waiters_notify_lock_held(&queue->waiters);
    return true;
}

bool cws_queue_push(struct cws_queue *queue, struct cws_list *node)
{
    cws_waiters_lock(&queue->waiters);
    bool is_new = cws_queue_push_lock_held(queue, node);
    cws_waiters_unlock(&queue->waiters);
    return is_new;
}

bool cws_queue_remove(struct cws_queue *queue, struct cws_list *node)
{
    cws_waiters_lock(&queue->waiters);
    bool was_there = !cws_list_is_empty(node);
    cws_list_remove(node);
    if (was_there)
        atomic_fetch_sub(&queue->count, 1);
    cws_waiters_unlock(&queue->waiters);
    return was_there;
}

struct cws_list *cws_queue_pop_lock_held(struct cws_queue *queue, struct cws_observer *observer)
{
    struct cws_list *node = cws_list_pop_front(&queue->nodes);
    if (node)
        atomic_fetch_sub(&queue->count, 1);
    else if (observer)
        cws_waiters_add_lock_held(&queue->waiters, observer);
    return node;
}

struct cws_list *cws_queue_pop(struct cws_queue *queue, struct cws_observer *observer)
{
    cws_waiters_lock(&queue->waiters);
    struct cws_list *node = cws_queue_pop_lock_held(queue, observer);
    cws_waiters_unlock(&queue->waiters);
    return node;
}

bool cws_queue_observe(struct cws_queue *queue, struct cws_observer *observer)
{
    cws_waiters_lock(&queue->waiters);
    bool has_any = cws_queue_has_any(queue);
    if (!has_any)
        cws_waiters_add_lock_held(&queue->waiters, observer);
    cws_waiters_unlock(&queue->waiters);
    return has_any;
}
