#include "sandbox/refusals.h"

#include "base/alloc.h"

struct cws_refusals *cws_refusals_new(void)
{
    struct cws_refusals *refusals = cws_malloc(sizeof(*refusals));
    if (!refusals)
        return NULL;
    cws_ref_init(&refusals->ref);
    cws_waiters_init(&refusals->waiters);
    cws_list_init(&refusals->refusals);
    return refusals;
}

void cws_refusals_ref(struct cws_refusals *refusals)
{
    cws_ref_get(&refusals->ref);
}

void cws_refusals_unref(struct cws_refusals *refusals)
{
    if (!refusals || !cws_ref_put(&refusals->ref))
        return;
    /* Each sandbox holds a reference, so there is none left. */
    cws_waiters_done(&refusals->waiters);
    cws_free(refusals);
}

bool cws_refusals_push(struct cws_refusals *refusals, struct cws_refusal *refusal)
{
    cws_waiters_lock(&refusals->waiters);
    bool is_new = cws_list_is_empty(&refusal->node);
    if (is_new) {
        cws_list_push_back(&refusals->refusals, &refusal->node);
        cws_waiters_notify_lock_held(&refusals->waiters);
    }
    cws_waiters_unlock(&refusals->waiters);
    return is_new;
}

struct cws_refusal *cws_refusals_pop(struct cws_refusals *refusals, struct cws_observer *observer)
{
    cws_waiters_lock(&refusals->waiters);
    struct cws_list *node = cws_list_pop_front(&refusals->refusals);
    if (!node && observer)
        cws_waiters_add_lock_held(&refusals->waiters, observer);
    cws_waiters_unlock(&refusals->waiters);
    return node ? cws_list_entry(node, struct cws_refusal, node) : NULL;
}
