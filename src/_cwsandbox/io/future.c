#include "io/future.h"

void cws_future_init(struct cws_future *future)
{
    atomic_init(&future->done, false);
    cws_waiters_init(&future->waiters);
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
    return registered;
}

void cws_future_unobserve(struct cws_future *future, struct cws_observer *observer)
{
    cws_waiters_remove(&future->waiters, observer);
}
