/* GetSandbox, ListSandboxes, DeleteSandbox: all answer at once. */
#include "base/alloc.h"
#include "service/calls.h"
#include "service/service.h"
#include "service/unary.h"
#include "service/view.h"
#include "store/query.h"
#include "values/bounds.h"

static void answer_sandbox(struct cws_server_call *call, const struct cwsd_sandbox *sandbox)
{
    struct cwsd_view view;
    cwsd_view_init(&view, &sandbox->record, cwsd_pool_runner_id(sandbox->pool));
    cwsd_service_answer(call, &view.sandbox);
}

/* ---- get ------------------------------------------------------------------------------------ */

static void get(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    cwsd_pb_get_request *request =
        cwsd_unary_take(call, &coreweave__sandbox__v1__get_sandbox_request__descriptor, data, len);
    if (!request)
        return;
    struct cwsd_sandbox *sandbox =
        cwsd_pool_find(cwsd_service_of(call)->pool, request->sandbox_id, &fault);
    if (sandbox)
        answer_sandbox(call, sandbox);
    else
        cwsd_fault_finish(&fault, call);
    cwsd_wire_free(request);
}

/* ---- list ----------------------------------------------------------------------------------- */

static void answer_page(struct cws_server_call *call, const struct cwsd_query *query,
                        struct cwsd_view *views, cwsd_pb_sandbox **messages)
{
    struct cwsd_pool *pool = cwsd_service_of(call)->pool;
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
        cwsd_view_init(&views[count], next, cwsd_pool_runner_id(pool));
        messages[count] = &views[count].sandbox;
        bytes += protobuf_c_message_get_packed_size(&messages[count]->base);
        count++;
        last = next;
    }
    response.n_sandboxes = count;
    response.sandboxes = messages;
    response.next_page_token = token;
    cwsd_service_answer(call, &response);
}

static void list(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_query query;
    struct cwsd_view *views = NULL;
    cwsd_pb_sandbox **messages = NULL;
    cwsd_pb_list_request *request = cwsd_unary_take(
        call, &coreweave__sandbox__v1__list_sandboxes_request__descriptor, data, len);
    if (!request)
        return;
    if (!cwsd_query_init(&query, request, cwsd_pool_runner_id(cwsd_service_of(call)->pool), &fault))
        goto done;
    views = cws_calloc(query.page_size, sizeof(*views));
    messages = cws_calloc(query.page_size, sizeof(cwsd_pb_sandbox *));
    if (views && messages)
        answer_page(call, &query, views, messages);
    else
        cwsd_fault_set_memory(&fault);
done:
    if (cwsd_fault_is_set(&fault))
        cwsd_fault_finish(&fault, call);
    cws_free(views);
    cws_free(messages);
    cwsd_wire_free(request);
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
                   "sandbox %s has been deleted already", sandbox->record.id);
    cwsd_fault_note(fault, "sandbox_id", sandbox->record.id);
    return NULL;
}

static void answer_delete(struct cws_server_call *call, const struct cwsd_sandbox *sandbox)
{
    cwsd_pb_delete_response response = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_RESPONSE__INIT;
    struct cwsd_view view;
    if (sandbox) {
        cwsd_view_init(&view, &sandbox->record, cwsd_pool_runner_id(sandbox->pool));
        response.sandbox = &view.sandbox;
    }
    cwsd_service_answer(call, &response);
}

static void delete_sandbox(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_sandbox *sandbox = NULL;
    cwsd_pb_delete_request *request = cwsd_unary_take(
        call, &coreweave__sandbox__v1__delete_sandbox_request__descriptor, data, len);
    if (!request)
        return;
    if (check_delete(request, &fault))
        sandbox = find_deletable(cwsd_service_of(call)->pool, request->sandbox_id, &fault);
    if (sandbox) {
        int32_t grace_s = request->grace_period_seconds;
        if (grace_s > CWSD_MAX_GRACE_S)
            grace_s = CWSD_MAX_GRACE_S;
        sandbox->record.deleted = true;
        cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, (uint64_t)grace_s * 1000);
    }
    if (sandbox || (fault.code == CWS_GRPC_NOT_FOUND && request->allow_missing))
        answer_delete(call, sandbox);
    else
        cwsd_fault_finish(&fault, call);
    cwsd_wire_free(request);
}

#define AT_ONCE(name, handler) \
    {CWSD_SANDBOX_SERVICE name, cwsd_unary_start,  handler, cwsd_unary_half_closed, \
     cwsd_unary_drained,        cwsd_unary_closed, false}

const struct cws_server_method cwsd_call_get = AT_ONCE("GetSandbox", get);
const struct cws_server_method cwsd_call_list = AT_ONCE("ListSandboxes", list);
const struct cws_server_method cwsd_call_delete = AT_ONCE("DeleteSandbox", delete_sandbox);
