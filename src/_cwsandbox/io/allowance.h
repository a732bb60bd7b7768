/*
 * Bytes that many may hold together, so that what waits for slow peers does not fill the memory.
 * Who wants more than there is waits in line. Loop thread only.
 */
#pragma once

#include "io/timer.h"

struct cws_allowance {
    struct cws_loop *loop;
    size_t left;
    size_t uncounted;        /* claims of no more than that are always granted */
    uint64_t patience_ns;    /* how long a claim waits; CWS_NO_DEADLINE: as long as it takes */
    struct cws_list waiting; /* of cws_claim.node */
};

/* What one of them holds. Embedded, all zero at first, in the object that it belongs to. */
struct cws_claim {
    struct cws_allowance *allowance; /* NULL: nothing was asked for yet */
    size_t bytes;                    /* held, or waited for */
    size_t charged;                  /* of which the allowance knows */
    struct cws_list node;            /* in the line, while it waits */
    struct cws_timer timer;
    /* Set by the owner. The claim may be ended from inside. */
    void (*granted)(struct cws_claim *claim);
    void (*refused)(struct cws_claim *claim); /* NULL if it cannot be */
};

void cws_allowance_init(struct cws_allowance *allowance, struct cws_loop *loop, size_t bytes,
                        size_t uncounted, uint64_t patience_ns);

/* Refuses all claims that wait. */
void cws_allowance_refuse(struct cws_allowance *allowance);

/* Asks for `more` bytes. Calls `granted` or `refused` once, perhaps from inside this call, unless
 * the claim is ended first. */
void cws_claim_more(struct cws_claim *claim, struct cws_allowance *allowance, size_t more);

static inline bool cws_claim_waits(const struct cws_claim *claim)
{
    return claim->allowance && !cws_list_is_empty(&claim->node);
}

/* Gives everything back, and ends the wait. Others may be granted theirs from inside this call.
 * Harmless if repeated. */
void cws_claim_end(struct cws_claim *claim);
