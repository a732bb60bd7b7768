#include "service/unary.h"

#include "service/service.h"

/* The call's user pointer is set once its request has come; what it points at is of no interest. */

void cwsd_unary_start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    if (cwsd_service_admit(call))
        cws_server_call_set_user(call, NULL);
}

void cwsd_unary_half_closed(struct cws_server_call *call)
{
    struct cwsd_fault fault;
    if (cws_server_call_user(call))
        return;
    cwsd_fault_set(&fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST,
                   "the call ended without its request message");
    cwsd_fault_finish(&fault, call);
}

void cwsd_unary_drained(struct cws_server_call *call)
{
    (void)call;
}

void cwsd_unary_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)call, (void)why;
}

void *cwsd_unary_take(struct cws_server_call *call, const ProtobufCMessageDescriptor *descriptor,
                      const uint8_t *data, size_t len)
{
    struct cwsd_fault fault;
    if (cws_server_call_user(call))
        return NULL; /* one too many; the call has been answered */
    cws_server_call_set_user(call, cwsd_service_of(call));
    void *request = cwsd_wire_unpack(descriptor, data, len, &fault);
    if (!request)
        cwsd_fault_finish(&fault, call);
    return request;
}
