#include "service/allowance.h"

#include "values/bounds.h"

void cwsd_allowance_init(struct cwsd_allowance *allowance, struct cws_loop *loop, size_t bytes,
                         uint64_t patience_ns)
{
    allowance->loop = loop;
    allowance->left = bytes;
    allowance->patience_ns = patience_ns;
    cws_list_init(&allowance->waiting);
}

static void stop_waiting(struct cwsd_claim *claim)
{
    cws_list_remove(&claim->node);
    cws_timer_cancel(claim->allowance->loop, &claim->timer);
}

/* True if there was enough. */
static bool charge(struct cwsd_claim *claim)
{
    size_t due = claim->bytes > CWSD_STREAM_HIGH_WATER ? claim->bytes - claim->charged : 0;
    if (due > claim->allowance->left)
        return false;
    claim->allowance->left -= due;
    claim->charged += due;
    return true;
}

static void on_timer(struct cws_timer *timer)
{
    struct cwsd_claim *claim = cws_container_of(timer, struct cwsd_claim, timer);
    stop_waiting(claim);
    claim->refused(claim);
}

void cwsd_claim_more(struct cwsd_claim *claim, struct cwsd_allowance *allowance, size_t more)
{
    uint64_t until = cws_clock_now_ns() + allowance->patience_ns;
    if (!claim->allowance) {
        claim->allowance = allowance;
        cws_list_init(&claim->node);
        cws_timer_init(&claim->timer, on_timer);
    }
    claim->bytes += more;
    bool small = claim->bytes <= CWSD_STREAM_HIGH_WATER;
    if ((small || cws_list_is_empty(&allowance->waiting)) && charge(claim))
        claim->granted(claim);
    else if (cws_timer_set(allowance->loop, &claim->timer, until) == CWS_OK)
        cws_list_push_back(&allowance->waiting, &claim->node);
    else
        claim->refused(claim);
}

void cwsd_claim_end(struct cwsd_claim *claim)
{
    struct cwsd_allowance *allowance = claim->allowance;
    if (!allowance)
        return;
    stop_waiting(claim);
    allowance->left += claim->charged;
    *claim = (struct cwsd_claim){.granted = claim->granted, .refused = claim->refused};
    while (!cws_list_is_empty(&allowance->waiting)) {
        struct cwsd_claim *first = cws_list_entry(allowance->waiting.next, struct cwsd_claim, node);
        if (!charge(first))
            break;
        stop_waiting(first);
        first->granted(first);
    }
}
