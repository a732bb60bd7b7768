#include "io/future.h"

void cws_future_init(struct cws_future *future)
{
    atomic_init(&future->done, false);
    cws_waiters_init(&future->waiters);
    future->on_observed = NULL;
}

void cws_future_done(struct cws_future *future)
{
    cws_waiters_done(&future->waiters);
}

void cws_future_complete(struct cws_future *future)
{
    cws_waiters_lock(&future->waiters);
    assert(!cws_future_is_done(future));
    atomic_store_explicit(&future->done, true, memory_order_release);
    cws_waiters_notify_lock_held(&future->waiters);
    cws_waiters_unlock(&future->waiters);
}

bool cws_future_observe(struct cws_future *future, struct cws_observer *observer)
{
    bool registered = false;
    cws_list_init(&observer->node);
    cws_waiters_lock(&future->waiters);
    if (!cws_future_is_done(future)) {
        cws_waiters_add_lock_held(&future->waiters, observer);
        registered = true;
    }
    cws_waiters_unlock(&future->waiters);
    if (registered && future->on_observed)
        future->on_observed(future);
    return registered;
}

bool cws_future_is_observed(struct cws_future *future)
{
    cws_waiters_lock(&future->waiters);
    bool is_observed = !cws_list_is_empty(&future->waiters.observers);
    cws_waiters_unlock(&future->waiters);
    return is_observed;
}
