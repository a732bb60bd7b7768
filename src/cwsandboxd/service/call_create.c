/* CreateSandbox, CreateSandboxFromFile. */
#include "sandboxes/from_file.h"
#include "service/calls.h"
#include "service/creating.h"

static bool handle_create(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    cwsd_pb_create_request *request = message;
    const cwsd_pb_spec *spec = request->sandbox ? request->sandbox->spec : NULL;
    if (spec && !cwsd_volumes_check(cwsd_service_of(unary->call), spec, fault))
        return false;
    struct cwsd_sandbox *sandbox = cwsd_pool_create(cwsd_unary_pool(unary), request, fault);
    return sandbox && cwsd_creating_answer(unary, sandbox);
}

static bool handle_from_file(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox =
        cwsd_pool_create_from_file(cwsd_unary_pool(unary), request, fault);
    return sandbox && cwsd_creating_answer(unary, sandbox);
}

const struct cwsd_unary_row cwsd_create_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "CreateSandbox",
     .handle = handle_create,
     .size = sizeof(struct cwsd_creating),
     .closed = cwsd_creating_closed},
    {.path = CWSD_SANDBOX_SERVICE "CreateSandboxFromFile",
     .handle = handle_from_file,
     .size = sizeof(struct cwsd_creating),
     .closed = cwsd_creating_closed},
    {.path = NULL},
};
