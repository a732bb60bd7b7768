#include "sandbox/file_queue.h"

#include "base/alloc.h"
struct cws_file_queue *cws_file_queue_new(void)
{
    struct cws_file_queue *queue = cws_malloc(sizeof(*queue));
    if (!queue)
        return NULL;
    cws_ref_init(&queue->ref);
    cws_waiters_init(&queue->waiters);
    cws_list_init(&queue->places);
    return queue;
}

void cws_file_queue_ref(struct cws_file_queue *queue)
{
    cws_ref_get(&queue->ref);
}

void cws_file_queue_unref(struct cws_file_queue *queue)
{
    if (!queue || !cws_ref_put(&queue->ref))
        return;
    /* Each operation holds a reference, so there is none left. */
    cws_waiters_done(&queue->waiters);
    cws_free(queue);
}

bool cws_file_queue_push(struct cws_file_queue *queue, struct cws_file_place *place,
                         bool is_unfinished)
{
    cws_waiters_lock(&queue->waiters);
    bool is_new = cws_list_is_empty(&place->node);
    place->is_unfinished |= is_unfinished;
    if (is_new) {
        cws_list_push_back(&queue->places, &place->node);
        cws_waiters_notify_lock_held(&queue->waiters);
    }
    cws_waiters_unlock(&queue->waiters);
    return is_new;
}

bool cws_file_queue_remove(struct cws_file_queue *queue, struct cws_file_place *place)
{
    cws_waiters_lock(&queue->waiters);
    bool was_there = !cws_list_is_empty(&place->node);
    cws_list_remove(&place->node);
    cws_waiters_unlock(&queue->waiters);
    return was_there;
}

struct cws_file_place *cws_file_queue_pop(struct cws_file_queue *queue, bool *out_unfinished,
                                          struct cws_observer *observer)
{
    struct cws_file_place *place = NULL;
    cws_waiters_lock(&queue->waiters);
    struct cws_list *node = cws_list_pop_front(&queue->places);
    if (node) {
        place = cws_list_entry(node, struct cws_file_place, node);
        *out_unfinished = place->is_unfinished;
    } else if (observer) {
        cws_waiters_add_lock_held(&queue->waiters, observer);
    }
    cws_waiters_unlock(&queue->waiters);
    return place;
}
