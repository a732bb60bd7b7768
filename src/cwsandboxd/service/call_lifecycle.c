/* GetSandbox, ListSandboxes, DeleteSandbox. The first two wait a moment for what the sandboxes in
 * their answer use. */
#include "base/alloc.h"
#include "sandboxes/saving.h"
#include "service/calls.h"
#include "service/unary.h"
#include "service/view.h"
#include "store/query.h"
#include "values/bounds.h"

static void show(struct cwsd_view *view, const struct cwsd_sandbox *sandbox)
{
    cwsd_view_init(view, &sandbox->record, cwsd_pool_runner_id(sandbox->pool));
    cwsd_endpoints_show(sandbox->endpoints, &view->status);
    if (sandbox->record.state == CWSD_STATE(RUNNING))
        cwsd_view_add_execs(view, cwsd_pool_execs(sandbox));
    if (sandbox->record.state == CWSD_STATE(RUNNING) &&
        cwsd_usage_is_fresh(&sandbox->usage, cws_clock_now_ns()))
        cwsd_view_add_usage(view, &sandbox->usage);
}

bool cwsd_answer_created(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox)
{
    struct cwsd_view view;
    const char *token = cwsd_endpoints_token(sandbox->endpoints);
    show(&view, sandbox);
    if (token)
        view.sandbox.endpoint_share_token = (char *)token;
    return cwsd_unary_answer(unary, &view.sandbox);
}

bool cwsd_answer_sandbox(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox)
{
    struct cwsd_view view;
    show(&view, sandbox);
    return cwsd_unary_answer(unary, &view.sandbox);
}

/* ---- looking at what sandboxes use ---------------------------------------------------------- */

/* A Get or a List that may have to wait for it. */
struct look_call {
    struct cwsd_unary unary;
    struct cwsd_usage_look look;
    struct cws_timer timer; /* to ask more of them, then the end of patience */
    uint64_t until_ns;
    struct cwsd_usage_reader *readers; /* of those that it waits for, or has waited for */
    size_t count, asked;
    void (*answer)(struct look_call *call);
};

static void stop_looking(struct look_call *call)
{
    cws_timer_cancel(cwsd_pool_loop(cwsd_unary_pool(&call->unary)), &call->timer);
    for (size_t i = 0; i < call->count; i++)
        cwsd_usage_forget(&call->readers[i]);
    cws_free(call->readers);
    call->readers = NULL;
    call->count = 0;
}

static void answer_late(struct look_call *call)
{
    stop_looking(call);
    call->answer(call);
}

static void on_complete(struct cwsd_usage_look *look)
{
    answer_late(cws_container_of(look, struct look_call, look));
}

/* Asks some of them. Answers if everything is known, or may not be waited for. */
static void go_on(struct look_call *call)
{
    struct cws_loop *loop = cwsd_pool_loop(cwsd_unary_pool(&call->unary));
    uint64_t now_ns = cws_clock_now_ns();
    for (size_t i = 0; i < CWSD_MAX_ASKED_AT_ONCE && call->asked < call->count; i++)
        cwsd_usage_ask(&call->readers[call->asked++], now_ns);
    uint64_t next_ns = call->asked < call->count ? now_ns : call->until_ns;
    if (call->look.due == 0 || now_ns >= call->until_ns ||
        cws_timer_set(loop, &call->timer, next_ns) != CWS_OK)
        answer_late(call);
}

static void on_timer(struct cws_timer *timer)
{
    go_on(cws_container_of(timer, struct look_call, timer));
}

/* Room for `most` readers; none without memory, and then nothing is waited for. */
static void start_looking(struct look_call *call, size_t most,
                          void (*answer)(struct look_call *call))
{
    call->look.complete = on_complete;
    call->answer = answer;
    call->until_ns = cws_clock_now_ns() + CWSD_USAGE_PATIENCE_NS;
    call->readers = cws_calloc(most, sizeof(*call->readers));
    cws_timer_init(&call->timer, on_timer);
}

static void look_at(struct look_call *call, struct cwsd_sandbox *sandbox)
{
    if (call->readers && sandbox->record.state == CWSD_STATE(RUNNING) &&
        cwsd_usage_join(&sandbox->usage, cws_clock_now_ns(), &call->look,
                        &call->readers[call->count]))
        call->count++;
}

static void look_closed(struct cwsd_unary *unary)
{
    stop_looking(cws_container_of(unary, struct look_call, unary));
}

/* ---- get ------------------------------------------------------------------------------------ */

static void answer_get(struct look_call *call)
{
    const cwsd_pb_get_request *request = call->unary.request;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_sandbox *sandbox =
        cwsd_pool_find(cwsd_unary_pool(&call->unary), request->sandbox_id, &fault);
    if (sandbox)
        cwsd_answer_sandbox(&call->unary, sandbox);
    else
        cwsd_unary_fail(&call->unary, &fault);
}

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct look_call *call = cws_container_of(unary, struct look_call, unary);
    const cwsd_pb_get_request *request = message;
    struct cwsd_sandbox *sandbox =
        cwsd_pool_find(cwsd_unary_pool(unary), request->sandbox_id, fault);
    if (!sandbox)
        return false;
    start_looking(call, 1, answer_get);
    look_at(call, sandbox);
    go_on(call);
    return true;
}

/* ---- list ----------------------------------------------------------------------------------- */

static struct cwsd_sandbox *sandbox_of(const struct cwsd_record *record)
{
    return cws_container_of(record, struct cwsd_sandbox, record);
}

static bool answer_page(struct cwsd_unary *unary, const struct cwsd_query *query,
                        struct cwsd_view *views, cwsd_pb_sandbox **messages)
{
    struct cwsd_registry *registry = cwsd_pool_registry(cwsd_unary_pool(unary));
    cwsd_pb_list_response response = COREWEAVE__SANDBOX__V1__LIST_SANDBOXES_RESPONSE__INIT;
    char token[CWSD_PAGE_TOKEN_SIZE] = "";
    const struct cwsd_record *last = NULL, *next;
    size_t count = 0, bytes = 0;
    while ((next = cwsd_query_next(query, registry, last)) != NULL) {
        if (count == query->page.size || bytes > CWSD_MAX_PAGE_BYTES) {
            cwsd_query_token(query, last, token);
            break;
        }
        show(&views[count], sandbox_of(next));
        messages[count] = &views[count].sandbox;
        bytes += protobuf_c_message_get_packed_size(&messages[count]->base);
        count++;
        last = next;
    }
    response.n_sandboxes = count;
    response.sandboxes = messages;
    response.next_page_token = token;
    return cwsd_unary_answer(unary, &response);
}

static void answer_list(struct look_call *call)
{
    struct cwsd_unary *unary = &call->unary;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_query query;
    struct cwsd_view *views = NULL;
    cwsd_pb_sandbox **messages = NULL;
    bool answered = cwsd_query_init(&query, unary->request,
                                    cwsd_pool_runner_id(cwsd_unary_pool(unary)), &fault);
    if (answered) {
        views = cws_calloc(query.page.size, sizeof(*views));
        messages = cws_calloc(query.page.size, sizeof(cwsd_pb_sandbox *));
        answered = views && messages ? answer_page(unary, &query, views, messages)
                                     : cwsd_fault_set_memory(&fault);
    }
    if (!answered)
        cwsd_unary_fail(unary, &fault);
    cws_free(views);
    cws_free(messages);
}

static bool handle_list(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault)
{
    struct look_call *call = cws_container_of(unary, struct look_call, unary);
    struct cwsd_registry *registry = cwsd_pool_registry(cwsd_unary_pool(unary));
    const struct cwsd_record *next = NULL;
    struct cwsd_query query;
    if (!cwsd_query_init(&query, request, cwsd_pool_runner_id(cwsd_unary_pool(unary)), fault))
        return false;
    start_looking(call, query.page.size, answer_list);
    for (size_t i = 0; i < query.page.size; i++) {
        next = cwsd_query_next(&query, registry, next);
        if (!next)
            break;
        look_at(call, sandbox_of(next));
    }
    go_on(call);
    return true;
}

/* ---- delete --------------------------------------------------------------------------------- */

static bool check_delete(const cwsd_pb_delete_request *request, struct cwsd_fault *fault)
{
    if (request->grace_period_seconds < 0)
        return cwsd_fault_set_invalid(fault, "grace_period_seconds", "%d must not be negative",
                                      (int)request->grace_period_seconds);
    if (request->n_snapshot_volumes > CWSD_MAX_VOLUMES)
        return cwsd_fault_set_invalid(fault, "snapshot_volumes",
                                      "%zu volumes; at most %d are allowed",
                                      request->n_snapshot_volumes, CWSD_MAX_VOLUMES);
    return true;
}

/* The sandbox to delete. NULL: nothing (left) to delete, with *fault saying so. */
static struct cwsd_sandbox *find_deletable(struct cwsd_pool *pool, const char *id,
                                           struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox = cwsd_pool_find(pool, id, fault);
    if (!sandbox || !sandbox->record.deleted || !cwsd_record_is_finished(&sandbox->record))
        return sandbox;
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND,
                   "sandbox %s has been stopped or deleted already", sandbox->record.id);
    cwsd_fault_note(fault, "sandbox_id", sandbox->record.id);
    return NULL;
}

/* `snapshots` are those of the volumes that the request names. */
static bool answer_delete(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox,
                          struct cwsd_snapshot *snapshots)
{
    const cwsd_pb_delete_request *request = unary->request;
    cwsd_pb_delete_response response = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_RESPONSE__INIT;
    struct cwsd_view view;
    char *ids[CWSD_MAX_VOLUMES];
    for (size_t i = 0; snapshots && i < request->n_snapshot_volumes; i++)
        ids[response.n_file_system_snapshot_ids++] = snapshots[i].id;
    response.file_system_snapshot_ids = ids;
    if (sandbox) {
        show(&view, sandbox);
        response.sandbox = &view.sandbox;
    }
    return cwsd_unary_answer(unary, &response);
}

static void stop_deleted(struct cwsd_sandbox *sandbox, const cwsd_pb_delete_request *request)
{
    int32_t grace_s = request->grace_period_seconds;
    if (grace_s > CWSD_MAX_GRACE_S)
        grace_s = CWSD_MAX_GRACE_S;
    cwsd_pool_delete(sandbox, (uint64_t)grace_s * 1000);
}

/* With snapshots of its volumes. */
static bool delete_saved(struct cwsd_unary *unary, const cwsd_pb_delete_request *request,
                         struct cwsd_fault *fault)
{
    struct cwsd_pool *pool = cwsd_unary_pool(unary);
    struct cwsd_snapshot snapshots[CWSD_MAX_VOLUMES];
    struct cwsd_fault gone = {.code = CWS_GRPC_OK};
    if (cwsd_saving_find_repeated(pool, request, snapshots, fault))
        return answer_delete(unary, cwsd_pool_find(pool, request->sandbox_id, &gone), snapshots);
    if (cwsd_fault_is_set(fault))
        return false;
    struct cwsd_sandbox *sandbox = find_deletable(pool, request->sandbox_id, fault);
    if (!sandbox || !cwsd_saving_on_delete(sandbox, request, snapshots, fault))
        return false;
    stop_deleted(sandbox, request);
    return answer_delete(unary, sandbox, snapshots);
}

static bool handle_delete(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_delete_request *request = message;
    if (!check_delete(request, fault))
        return false;
    if (request->n_snapshot_volumes)
        return delete_saved(unary, request, fault);
    struct cwsd_sandbox *sandbox =
        find_deletable(cwsd_unary_pool(unary), request->sandbox_id, fault);
    if (!sandbox)
        return fault->code == CWS_GRPC_NOT_FOUND && request->allow_missing &&
               answer_delete(unary, NULL, NULL);
    stop_deleted(sandbox, request);
    return answer_delete(unary, sandbox, NULL);
}

const struct cwsd_unary_row cwsd_lifecycle_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "GetSandbox",
     .handle = handle_get,
     .size = sizeof(struct look_call),
     .closed = look_closed},
    {.path = CWSD_SANDBOX_SERVICE "ListSandboxes",
     .handle = handle_list,
     .size = sizeof(struct look_call),
     .closed = look_closed},
    {.path = CWSD_SANDBOX_SERVICE "DeleteSandbox", .handle = handle_delete},
    {.path = NULL},
};
