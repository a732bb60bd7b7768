/*
 * The race between an operation's end and the wish to cancel it, settled by one atomic: who comes
 * first wins, and a cancel that was told "yes" is never followed by a result. Any thread.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

enum cws_phase {
    CWS_PHASE_LIVE,
    CWS_PHASE_CANCELLED, /* wished for; the end has not come yet */
    CWS_PHASE_ENDED,
    CWS_PHASE_ENDED_CANCELLED,
};

/* True: it ends, or ended, as cancelled; *out_first tells the one caller that has to see to it. */
static inline bool cws_phase_cancel(atomic_int *phase, bool *out_first)
{
    int expected = CWS_PHASE_LIVE;
    *out_first = atomic_compare_exchange_strong(phase, &expected, CWS_PHASE_CANCELLED);
    return *out_first || expected != CWS_PHASE_ENDED;
}

/* Loop thread, once: true when the operation has to end as cancelled, whatever came. */
static inline bool cws_phase_end(atomic_int *phase)
{
    int expected = CWS_PHASE_LIVE;
    if (atomic_compare_exchange_strong(phase, &expected, CWS_PHASE_ENDED))
        return false;
    atomic_store(phase, CWS_PHASE_ENDED_CANCELLED);
    return true;
}
