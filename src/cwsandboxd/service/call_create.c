/* CreateSandbox, CreateSandboxFromFile. */
#include "sandboxes/from_file.h"
#include "service/calls.h"
#include "service/creating.h"

/* The answer to a repeated request does not depend on what has become of its volumes. */
static bool check_volumes(const struct cwsd_unary *unary, const cwsd_pb_create_request *request,
                          struct cwsd_fault *fault)
{
    const cwsd_pb_spec *spec = request->sandbox ? request->sandbox->spec : NULL;
    const struct cwsd_registry *registry = cwsd_pool_registry(cwsd_unary_pool(unary));
    if (!spec ||
        (request->request_id[0] && cwsd_registry_find_request(registry, request->request_id)))
        return true;
    return cwsd_volumes_check(cwsd_service_of(unary->call), spec, fault);
}

static bool handle_create(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    cwsd_pb_create_request *request = message;
    if (!check_volumes(unary, request, fault))
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
