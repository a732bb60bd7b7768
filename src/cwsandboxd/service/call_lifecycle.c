/* GetSandbox, ListSandboxes, DeleteSandbox: all answer at once. */
#include "base/alloc.h"
#include "service/calls.h"
#include "service/unary.h"
#include "service/view.h"
#include "store/query.h"
#include "values/bounds.h"

static void show(struct cwsd_view *view, const struct cwsd_sandbox *sandbox)
{
    cwsd_view_init(view, &sandbox->record, cwsd_pool_runner_id(sandbox->pool));
    if (sandbox->record.state == CWSD_STATE(RUNNING))
        cwsd_view_add_execs(view, cwsd_box_execs(sandbox->box));
}

bool cwsd_answer_sandbox(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox)
{
    struct cwsd_view view;
    show(&view, sandbox);
    return cwsd_unary_answer(unary, &view.sandbox);
}

/* ---- get ------------------------------------------------------------------------------------ */

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_get_request *request = message;
    struct cwsd_sandbox *sandbox =
        cwsd_pool_find(cwsd_unary_pool(unary), request->sandbox_id, fault);
    return sandbox && cwsd_answer_sandbox(unary, sandbox);
}

/* ---- list ----------------------------------------------------------------------------------- */

static bool answer_page(struct cwsd_unary *unary, const struct cwsd_query *query,
                        struct cwsd_view *views, cwsd_pb_sandbox **messages)
{
    struct cwsd_pool *pool = cwsd_unary_pool(unary);
    struct cwsd_registry *registry = cwsd_pool_registry(pool);
    cwsd_pb_list_response response = COREWEAVE__SANDBOX__V1__LIST_SANDBOXES_RESPONSE__INIT;
    char token[CWSD_PAGE_TOKEN_SIZE] = "";
    const struct cwsd_record *last = NULL, *next;
    size_t count = 0, bytes = 0;
    while ((next = cwsd_query_next(query, registry, last)) != NULL) {
        if (count == query->page_size || bytes > CWSD_MAX_PAGE_BYTES) {
            cwsd_query_token(query, last, token);
            break;
        }
        show(&views[count], cws_container_of(next, struct cwsd_sandbox, record));
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

static bool handle_list(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault)
{
    struct cwsd_query query;
    if (!cwsd_query_init(&query, request, cwsd_pool_runner_id(cwsd_unary_pool(unary)), fault))
        return false;
    struct cwsd_view *views = cws_calloc(query.page_size, sizeof(*views));
    cwsd_pb_sandbox **messages = cws_calloc(query.page_size, sizeof(cwsd_pb_sandbox *));
    bool answered = views && messages ? answer_page(unary, &query, views, messages)
                                      : cwsd_fault_set_memory(fault);
    cws_free(views);
    cws_free(messages);
    return answered;
}

/* ---- delete --------------------------------------------------------------------------------- */

static bool check_delete(const cwsd_pb_delete_request *request, struct cwsd_fault *fault)
{
    if (request->grace_period_seconds < 0)
        return cwsd_fault_set_invalid(fault, "grace_period_seconds", "%d must not be negative",
                                      (int)request->grace_period_seconds);
    if (request->n_snapshot_volumes && request->allow_missing)
        return cwsd_fault_set_invalid(fault, "snapshot_volumes", "exclude allow_missing");
    if (request->n_snapshot_volumes)
        return cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS,
                              "snapshot_volumes: this daemon has no file system snapshots");
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

static bool answer_delete(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox)
{
    cwsd_pb_delete_response response = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_RESPONSE__INIT;
    struct cwsd_view view;
    if (sandbox) {
        show(&view, sandbox);
        response.sandbox = &view.sandbox;
    }
    return cwsd_unary_answer(unary, &response);
}

static bool handle_delete(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_delete_request *request = message;
    if (!check_delete(request, fault))
        return false;
    struct cwsd_sandbox *sandbox =
        find_deletable(cwsd_unary_pool(unary), request->sandbox_id, fault);
    if (!sandbox)
        return fault->code == CWS_GRPC_NOT_FOUND && request->allow_missing &&
               answer_delete(unary, NULL);
    int32_t grace_s = request->grace_period_seconds;
    if (grace_s > CWSD_MAX_GRACE_S)
        grace_s = CWSD_MAX_GRACE_S;
    sandbox->record.deleted = true;
    cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, (uint64_t)grace_s * 1000);
    return answer_delete(unary, sandbox);
}

const struct cwsd_unary_row cwsd_lifecycle_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "GetSandbox", .handle = handle_get},
    {.path = CWSD_SANDBOX_SERVICE "ListSandboxes", .handle = handle_list},
    {.path = CWSD_SANDBOX_SERVICE "DeleteSandbox", .handle = handle_delete},
    {.path = NULL},
};
