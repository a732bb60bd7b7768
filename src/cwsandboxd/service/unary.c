#include "service/unary.h"

#include "base/alloc.h"
#include "values/extensions.h"

static void start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    const struct cwsd_unary_method *method = cws_server_call_method(call)->data;
    struct cwsd_unary *unary =
        cws_calloc(1, method->row->size ? method->row->size : sizeof(*unary));
    if (!unary) {
        cwsd_fault_set_memory(&fault);
        cwsd_fault_finish(&fault, call);
        return;
    }
    unary->call = call;
    unary->method = method;
    cws_server_call_set_header(call, CWSD_EXTENSIONS_HEADER, CWSD_EXTENSIONS);
    cws_server_call_set_user(call, unary);
}

/* Of the methods of the direct data plane each names the sandbox that it is about. */
static bool check_sandbox(const struct cwsd_unary *unary, struct cwsd_fault *fault)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(unary->method->types->input, "sandbox_id");
    const char *id =
        field ? *(const char *const *)((const char *)unary->request + field->offset) : "";
    return cwsd_service_check_sandbox(unary->call, id, fault);
}

static void message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_unary *unary = cws_server_call_user(call);
    if (!unary || unary->handled)
        return; /* refused at its start; or one message too many, which changes nothing */
    unary->handled = true;
    unary->request = cwsd_wire_unpack(unary->method->types->input, data, len, &fault);
    if (!unary->request && unary->method->row->unusable)
        unary->method->row->unusable(&fault);
    if (!unary->request || !check_sandbox(unary, &fault) ||
        !unary->method->row->handle(unary, unary->request, &fault))
        cwsd_unary_fail(unary, &fault);
}

static void half_closed(struct cws_server_call *call)
{
    struct cwsd_unary *unary = cws_server_call_user(call);
    struct cwsd_fault fault;
    if (!unary || unary->handled)
        return;
    cwsd_fault_set(&fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST,
                   "the call ended without its request message");
    cwsd_fault_finish(&fault, call);
}

static void closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)why;
    struct cwsd_unary *unary = cws_server_call_user(call);
    if (!unary)
        return;
    cws_server_call_set_user(call, NULL);
    if (unary->handled && unary->method->row->closed)
        unary->method->row->closed(unary);
    cwsd_wire_free(unary->request);
    cws_free(unary);
}

struct cws_server_method cwsd_unary_server_method(const struct cwsd_unary_method *method)
{
    return (struct cws_server_method){.start = start,
                                      .message = message,
                                      .half_closed = half_closed,
                                      .closed = closed,
                                      .data = method};
}

/* A client that does not read its answer must not keep the request in memory as well: it goes
 * before the call does. */

bool cwsd_unary_answer(struct cwsd_unary *unary, const void *response)
{
    assert(((const ProtobufCMessage *)response)->descriptor == unary->method->types->output);
    return cwsd_unary_answer_packed(unary, cwsd_wire_pack(response));
}

bool cwsd_unary_answer_packed(struct cwsd_unary *unary, struct cws_block *response)
{
    struct cwsd_fault fault;
    struct cws_server_call *call = unary->call;
    void *request = unary->request;
    unary->request = NULL;
    if (response) {
        cws_server_call_send(call, response);
        cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
    } else {
        cwsd_fault_set_memory(&fault);
        cwsd_fault_finish(&fault, call);
    }
    cwsd_wire_free(request);
    return true;
}

void cwsd_unary_fail(struct cwsd_unary *unary, const struct cwsd_fault *fault)
{
    cwsd_wire_free(unary->request);
    unary->request = NULL;
    cwsd_fault_finish(fault, unary->call);
}
