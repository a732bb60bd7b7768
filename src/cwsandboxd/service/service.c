#include "service/service.h"

#include "service/auth.h"
#include "values/wire.h"

bool cwsd_service_admit(struct cws_server_call *call, void *ctx)
{
    const struct cwsd_service *service = ctx;
    struct cwsd_fault fault;
    if (cwsd_auth_check(call, service->token, &fault))
        return true;
    cwsd_fault_finish(&fault, call);
    return false;
}

bool cwsd_service_admit_direct(struct cws_server_call *call, void *ctx)
{
    struct cwsd_fault fault;
    (void)ctx;
    if (cwsd_direct_admit(call, &fault))
        return true;
    cwsd_fault_finish(&fault, call);
    return false;
}

bool cwsd_service_check_sandbox(const struct cws_server_call *call, const char *sandbox_id,
                                struct cwsd_fault *fault)
{
    return cwsd_direct_check_sandbox(cwsd_service_of(call)->direct, call, sandbox_id, fault);
}

bool cwsd_service_send(struct cws_server_call *call, const void *message)
{
    struct cws_block *block = cwsd_wire_pack(message);
    if (!block)
        return false;
    cws_server_call_send(call, block);
    return true;
}

void cwsd_service_answer(struct cws_server_call *call, const void *message)
{
    if (cwsd_service_send(call, message)) {
        cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
        return;
    }
    struct cwsd_fault fault;
    cwsd_fault_set_memory(&fault);
    cwsd_fault_finish(&fault, call);
}
