#include "io/allowance.h"

void cws_allowance_init(struct cws_allowance *allowance, struct cws_loop *loop, size_t bytes,
                        size_t uncounted, uint64_t patience_ns)
{
    allowance->loop = loop;
    allowance->left = bytes;
    allowance->uncounted = uncounted;
    allowance->patience_ns = patience_ns;
    cws_list_init(&allowance->waiting);
}

static void stop_waiting(struct cws_claim *claim)
{
    cws_list_remove(&claim->node);
    cws_timer_cancel(claim->allowance->loop, &claim->timer);
}

/* True if there was enough. */
static bool charge(struct cws_claim *claim)
{
    size_t due = claim->bytes > claim->allowance->uncounted ? claim->bytes - claim->charged : 0;
    if (due > claim->allowance->left)
        return false;
    claim->allowance->left -= due;
    claim->charged += due;
    return true;
}

static void refuse(struct cws_claim *claim)
{
    stop_waiting(claim);
    claim->refused(claim);
}

static void on_timer(struct cws_timer *timer)
{
    refuse(cws_container_of(timer, struct cws_claim, timer));
}

void cws_allowance_refuse(struct cws_allowance *allowance)
{
    while (!cws_list_is_empty(&allowance->waiting))
        refuse(cws_list_entry(allowance->waiting.next, struct cws_claim, node));
}

void cws_claim_more(struct cws_claim *claim, struct cws_allowance *allowance, size_t more)
{
    bool forever = allowance->patience_ns == CWS_NO_DEADLINE;
    uint64_t until = forever ? CWS_NO_DEADLINE : cws_clock_now_ns() + allowance->patience_ns;
    if (!claim->allowance) {
        claim->allowance = allowance;
        cws_list_init(&claim->node);
        cws_timer_init(&claim->timer, on_timer);
    }
    claim->bytes += more;
    bool small = claim->bytes <= allowance->uncounted;
    if ((small || cws_list_is_empty(&allowance->waiting)) && charge(claim))
        claim->granted(claim);
    else if (cws_timer_set(allowance->loop, &claim->timer, until) == CWS_OK)
        cws_list_push_back(&allowance->waiting, &claim->node);
    else
        claim->refused(claim);
}

void cws_claim_end(struct cws_claim *claim)
{
    struct cws_allowance *allowance = claim->allowance;
    if (!allowance)
        return;
    stop_waiting(claim);
    allowance->left += claim->charged;
    *claim = (struct cws_claim){.granted = claim->granted, .refused = claim->refused};
    while (!cws_list_is_empty(&allowance->waiting)) {
        struct cws_claim *first = cws_list_entry(allowance->waiting.next, struct cws_claim, node);
        if (!charge(first))
            break;
        stop_waiting(first);
        first->granted(first);
    }
}
