/*
 * Bytes that many may hold together, so that what waits for slow clients does not fill the memory.
 * Who wants more than there is waits in line, for a limited time. Loop thread only.
 */
#pragma once

#include "io/timer.h"

struct cwsd_allowance {
    struct cws_loop *loop;
    size_t left;
    struct cws_list waiting; /* of cwsd_claim.node */
    uint64_t patience_ns;
};

/* What one of them holds. Embedded, all zero at first, in the object that it belongs to. */
struct cwsd_claim {
    struct cwsd_allowance *allowance; /* NULL: nothing was asked for yet */
    size_t bytes;                     /* held, or waited for */
    size_t charged;                   /* of which the allowance knows */
    struct cws_list node;
    struct cws_timer timer;
    /* Set by the owner. The claim may be ended from inside. */
    void (*granted)(struct cwsd_claim *claim);
    void (*refused)(struct cwsd_claim *claim); /* the wait took too long */
};

void cwsd_allowance_init(struct cwsd_allowance *allowance, struct cws_loop *loop, size_t bytes,
                         uint64_t patience_ns);

/* Asks for `more` bytes. Calls `granted` or `refused` once, perhaps from inside this call, unless
 * the claim is ended first. A claim of at most CWSD_STREAM_HIGH_WATER in all, as much as any
 * command may leave unsent, is always granted. */
void cwsd_claim_more(struct cwsd_claim *claim, struct cwsd_allowance *allowance, size_t more);

/* Gives everything back, and ends the wait. Others may be granted theirs from inside this call.
 * Harmless if repeated. */
void cwsd_claim_end(struct cwsd_claim *claim);
