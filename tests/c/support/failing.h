/* For sweeps that let the n-th allocation fail, for n = 1, 2, … until there are no more. */
#pragma once

#include <stdbool.h>

#include "base/alloc.h"

/* After cws_alloc_fail_at(n) and what was to be tried: whether there was an n-th allocation. Turns
 * failing off. */
static inline bool failing_was_reached(size_t n)
{
    bool reached = true;
    for (size_t i = 0; i < n; i++) { /* what is left of the count is used up here */
        void *probe = cws_malloc(1);
        reached &= probe != NULL;
        cws_free(probe);
    }
    cws_alloc_fail_at(0);
    return reached;
}
