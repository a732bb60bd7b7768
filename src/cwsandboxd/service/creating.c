#include "service/creating.h"

#include "service/calls.h"
#include "values/bounds.h"

static void stop_waiting(struct cwsd_creating *creating)
{
    if (!creating->sandbox)
        return;
    cws_list_remove(&creating->waiter.node);
    cws_timer_cancel(cwsd_pool_loop(creating->sandbox->pool), &creating->patience);
    creating->sandbox = NULL;
}

static void answer_late(struct cwsd_creating *creating)
{
    struct cwsd_sandbox *sandbox = creating->sandbox;
    stop_waiting(creating);
    cwsd_answer_created(&creating->unary, sandbox);
}

static void on_settled(struct cwsd_waiter *waiter)
{
    answer_late(cws_container_of(waiter, struct cwsd_creating, waiter));
}

static void on_patience_over(struct cws_timer *timer)
{
    answer_late(cws_container_of(timer, struct cwsd_creating, patience));
}

static bool wait_for(struct cwsd_creating *creating, struct cwsd_sandbox *sandbox)
{
    uint64_t until_ns = cws_clock_now_ns() + CWSD_CREATE_PATIENCE_MS * CWS_NS_PER_MS;
    creating->waiter.settled = on_settled;
    cws_timer_init(&creating->patience, on_patience_over);
    if (cws_timer_set(cwsd_pool_loop(sandbox->pool), &creating->patience, until_ns) != CWS_OK)
        return false;
    creating->sandbox = sandbox;
    cwsd_pool_wait(sandbox, &creating->waiter);
    return true;
}

bool cwsd_creating_answer(struct cwsd_unary *unary, struct cwsd_sandbox *sandbox)
{
    struct cwsd_creating *creating = cws_container_of(unary, struct cwsd_creating, unary);
    if (sandbox->record.state == CWSD_STATE(CREATING) && wait_for(creating, sandbox))
        return true;
    return cwsd_answer_created(unary, sandbox);
}

void cwsd_creating_closed(struct cwsd_unary *unary)
{
    stop_waiting(cws_container_of(unary, struct cwsd_creating, unary));
}
