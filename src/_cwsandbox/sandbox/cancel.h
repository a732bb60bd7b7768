/*
 * Decides the race between an operation's end and a cancellation with one atomic. Whichever comes
 * first wins. A cancellation that got "yes" is never followed by a result. Any thread, unless
 * noted.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

enum cws_phase {
    CWS_PHASE_LIVE,
    CWS_PHASE_CANCELLED, /* asked for; the end has not come yet */
    CWS_PHASE_ENDED,
    CWS_PHASE_ENDED_CANCELLED,
};

/* True: the operation ends, or has ended, as cancelled. *out_first is true for exactly one caller,
 * who must then end the operation. */
static inline bool cws_phase_cancel(atomic_int *phase, bool *out_first)
{
    int expected = CWS_PHASE_LIVE;
    *out_first = atomic_compare_exchange_strong(phase, &expected, CWS_PHASE_CANCELLED);
    return *out_first || expected != CWS_PHASE_ENDED;
}

/* Loop thread, once, when the operation ends. True: it must end as cancelled, whatever its result
 * was. */
static inline bool cws_phase_end(atomic_int *phase)
{
    int expected = CWS_PHASE_LIVE;
    if (atomic_compare_exchange_strong(phase, &expected, CWS_PHASE_ENDED))
        return false;
    atomic_store(phase, CWS_PHASE_ENDED_CANCELLED);
    return true;
}
