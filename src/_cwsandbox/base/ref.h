/* Atomic reference count, embedded in the counted struct. Any thread. */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

struct cws_ref {
    atomic_uint count;
};

static inline void cws_ref_init(struct cws_ref *ref)
{
    atomic_init(&ref->count, 1);
}

static inline void cws_ref_get(struct cws_ref *ref)
{
    atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);
}

/* True if this was the last reference: the caller then frees the struct. */
static inline bool cws_ref_put(struct cws_ref *ref)
{
    return atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel) == 1;
}
