/*
 * CreateSandbox: answers once the sandbox runs, or will never run. That takes milliseconds here,
 * and spares the client the polling, whose steps are much longer. A start that takes unusually long
 * is answered as CREATING.
 */
#include "base/alloc.h"
#include "service/calls.h"
#include "service/service.h"
#include "service/unary.h"
#include "service/view.h"
#include "values/bounds.h"

/* The call's user pointer once its request has come. */
struct create_call {
    struct cwsd_waiter waiter;
    struct cws_timer patience;
    struct cws_server_call *call;
    struct cwsd_sandbox *sandbox; /* NULL once answered */
};

static void answer(struct create_call *create)
{
    struct cwsd_sandbox *sandbox = create->sandbox;
    struct cwsd_view view;
    create->sandbox = NULL;
    cws_list_remove(&create->waiter.node);
    cws_timer_cancel(cwsd_pool_loop(sandbox->pool), &create->patience);
    cwsd_view_init(&view, &sandbox->record, cwsd_pool_runner_id(sandbox->pool));
    cwsd_service_answer(create->call, &view.sandbox);
}

static void on_settled(struct cwsd_waiter *waiter)
{
    answer(cws_container_of(waiter, struct create_call, waiter));
}

static void on_patience_over(struct cws_timer *timer)
{
    answer(cws_container_of(timer, struct create_call, patience));
}

static void wait_or_answer(struct create_call *create, struct cwsd_sandbox *sandbox)
{
    create->sandbox = sandbox;
    uint64_t until_ns = cws_clock_now_ns() + CWSD_CREATE_PATIENCE_MS * CWS_NS_PER_MS;
    if (sandbox->record.state == CWSD_STATE(CREATING) &&
        cws_timer_set(cwsd_pool_loop(sandbox->pool), &create->patience, until_ns) == CWS_OK)
        cwsd_pool_wait(sandbox, &create->waiter);
    else
        answer(create);
}

static struct create_call *create_call_new(struct cws_server_call *call)
{
    struct create_call *create = cws_calloc(1, sizeof(*create));
    if (!create)
        return NULL;
    create->call = call;
    create->waiter.settled = on_settled;
    cws_list_init(&create->waiter.node);
    cws_timer_init(&create->patience, on_patience_over);
    return create;
}

static void message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_service *service = cwsd_service_of(call);
    cwsd_pb_create_request *request = cwsd_unary_take(
        call, &coreweave__sandbox__v1__create_sandbox_request__descriptor, data, len);
    if (!request)
        return;
    struct create_call *create = create_call_new(call);
    struct cwsd_sandbox *sandbox = NULL;
    if (create) {
        cws_server_call_set_user(call, create);
        sandbox = cwsd_pool_create(service->pool, request, &fault);
    } else {
        cwsd_fault_set_memory(&fault);
    }
    cwsd_wire_free(request);
    if (sandbox)
        wait_or_answer(create, sandbox);
    else
        cwsd_fault_finish(&fault, call);
}

static void closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)why; /* a client that did not wait finds its sandbox by the same request_id */
    struct create_call *create = cws_server_call_user(call);
    if (!create || (void *)create == (void *)cwsd_service_of(call))
        return; /* no request was taken */
    cws_list_remove(&create->waiter.node);
    if (create->sandbox)
        cws_timer_cancel(cwsd_pool_loop(create->sandbox->pool), &create->patience);
    cws_free(create);
}

const struct cws_server_method cwsd_call_create = {CWSD_SANDBOX_SERVICE "CreateSandbox",
                                                   cwsd_unary_start,
                                                   message,
                                                   cwsd_unary_half_closed,
                                                   cwsd_unary_drained,
                                                   closed,
                                                   false};
