/*
 * CreateSandbox: answers once the sandbox runs, or will never run. That takes milliseconds here,
 * and spares the client the polling, whose steps are much longer. A start that takes unusually long
 * is answered as CREATING.
 */
#include "service/calls.h"
#include "service/unary.h"
#include "service/view.h"
#include "values/bounds.h"

struct create_call {
    struct cwsd_unary unary;
    struct cwsd_waiter waiter;
    struct cws_timer patience;
    struct cwsd_sandbox *sandbox; /* NULL: not waited for (any more) */
};

static void stop_waiting(struct create_call *create)
{
    if (!create->sandbox)
        return;
    cws_list_remove(&create->waiter.node);
    cws_timer_cancel(cwsd_pool_loop(create->sandbox->pool), &create->patience);
    create->sandbox = NULL;
}

static void answer_late(struct create_call *create)
{
    struct cwsd_sandbox *sandbox = create->sandbox;
    stop_waiting(create);
    cwsd_answer_created(&create->unary, sandbox);
}

static void on_settled(struct cwsd_waiter *waiter)
{
    answer_late(cws_container_of(waiter, struct create_call, waiter));
}

static void on_patience_over(struct cws_timer *timer)
{
    answer_late(cws_container_of(timer, struct create_call, patience));
}

static bool wait_for(struct create_call *create, struct cwsd_sandbox *sandbox)
{
    uint64_t until_ns = cws_clock_now_ns() + CWSD_CREATE_PATIENCE_MS * CWS_NS_PER_MS;
    create->waiter.settled = on_settled;
    cws_timer_init(&create->patience, on_patience_over);
    if (cws_timer_set(cwsd_pool_loop(sandbox->pool), &create->patience, until_ns) != CWS_OK)
        return false;
    create->sandbox = sandbox;
    cwsd_pool_wait(sandbox, &create->waiter);
    return true;
}

static bool handle_create(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault)
{
    struct create_call *create = cws_container_of(unary, struct create_call, unary);
    struct cwsd_sandbox *sandbox = cwsd_pool_create(cwsd_unary_pool(unary), request, fault);
    if (!sandbox)
        return false;
    if (sandbox->record.state == CWSD_STATE(CREATING) && wait_for(create, sandbox))
        return true;
    return cwsd_answer_created(unary, sandbox);
}

/* A client that did not wait finds its sandbox by the same request_id. */
static void create_closed(struct cwsd_unary *unary)
{
    stop_waiting(cws_container_of(unary, struct create_call, unary));
}

const struct cwsd_unary_row cwsd_create_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "CreateSandbox",
     .handle = handle_create,
     .size = sizeof(struct create_call),
     .closed = create_closed},
    {.path = NULL},
};
