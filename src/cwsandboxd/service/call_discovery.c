/* ListAvailableRunners, GetAvailableRunner: this host, as the one runner. */
#include <string.h>

#include "host/machine.h"
#include "service/calls.h"
#include "service/unary.h"
#include "service/view.h"
#include "values/text.h"

#define FULL          COREWEAVE__SANDBOX__V1__RUNNER_VIEW__RUNNER_VIEW_FULL
#define NO_VISIBILITY COREWEAVE__SANDBOX__V1__VISIBILITY__VISIBILITY_UNSPECIFIED

/* Those of values/spec_services.c. */
static Coreweave__Sandbox__V1__Visibility visibilities[] = {
    COREWEAVE__SANDBOX__V1__VISIBILITY__VISIBILITY_PUBLIC,
    COREWEAVE__SANDBOX__V1__VISIBILITY__VISIBILITY_PRIVATE,
};

/* The runner with the parts of its message. It points into itself and must stay where it is. */
struct runner {
    cwsd_pb_runner message;
    cwsd_pb_runner_capabilities capabilities;
    cwsd_pb_runner_resources resources;
    cwsd_pb_timestamp connected;
    struct cwsd_machine machine;
    char *architectures[1];
};

static void fill_capabilities(struct runner *runner)
{
    coreweave__sandbox__v1__runner_capability_summary__init(&runner->capabilities);
    runner->capabilities.max_cpu_millicores = runner->machine.cpu_millicores;
    runner->capabilities.max_memory_bytes = runner->machine.memory_bytes;
    runner->architectures[0] = runner->machine.architecture;
    runner->capabilities.n_supported_architectures = 1;
    runner->capabilities.supported_architectures = runner->architectures;
    runner->capabilities.n_supported_service_visibilities = CWS_ARRAY_LEN(visibilities);
    runner->capabilities.supported_service_visibilities = visibilities;
    runner->message.capabilities = &runner->capabilities;
}

/* Nothing is reserved for sandboxes, so that all processors are free for all. */
static void fill_resources(struct runner *runner, struct cwsd_pool *pool)
{
    coreweave__sandbox__v1__runner_resource_summary__init(&runner->resources);
    runner->resources.available_cpu_millicores = runner->machine.cpu_millicores;
    runner->resources.available_memory_bytes = runner->machine.free_memory_bytes;
    runner->resources.running_sandboxes = (int32_t)cwsd_pool_registry(pool)->live;
    runner->message.resources = &runner->resources;
}

static void fill(struct runner *runner, const struct cwsd_unary *unary,
                 Coreweave__Sandbox__V1__RunnerView view)
{
    struct cwsd_pool *pool = cwsd_unary_pool(unary);
    coreweave__sandbox__v1__available_runner__init(&runner->message);
    cwsd_machine_read(&runner->machine);
    runner->message.runner_id = (char *)cwsd_pool_runner_id(pool);
    runner->message.runner_group_id = (char *)CWSD_RUNNER_GROUP_ID;
    runner->message.organization_id = (char *)CWSD_ORGANIZATION_ID;
    runner->message.healthy = !cwsd_pool_is_draining(pool);
    runner->connected = cwsd_view_timestamp(cwsd_service_of(unary->call)->started);
    runner->message.connected_at = &runner->connected;
    fill_capabilities(runner);
    if (view == FULL)
        fill_resources(runner, pool);
}

static bool check_view(Coreweave__Sandbox__V1__RunnerView view, struct cwsd_fault *fault)
{
    return protobuf_c_enum_descriptor_get_value(&coreweave__sandbox__v1__runner_view__descriptor,
                                                (int)view) ||
           cwsd_fault_set_invalid(fault, "view", "%d is no view", (int)view);
}

/* ---- list ----------------------------------------------------------------------------------- */

static bool check_list(const cwsd_pb_runners_request *request, struct cwsd_fault *fault)
{
    if (request->page_size < 0)
        return cwsd_fault_set_invalid(fault, "page_size", "%d must not be negative",
                                      (int)request->page_size);
    /* All there is fits on one page. */
    if (request->page_token[0])
        return cwsd_fault_set_invalid(fault, "page_token", "\"%s\" is not one this service gave",
                                      cwsd_text_short(request->page_token).text);
    if (!protobuf_c_enum_descriptor_get_value(&coreweave__sandbox__v1__visibility__descriptor,
                                              (int)request->service_visibility))
        return cwsd_fault_set_invalid(fault, "service_visibility", "%d is no visibility",
                                      (int)request->service_visibility);
    return check_view(request->view, fault);
}

static bool contains(char *const *items, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i], wanted) == 0)
            return true;
    return false;
}

static bool can_give(const cwsd_pb_runner_capabilities *can, int visibility)
{
    for (size_t i = 0; i < can->n_supported_service_visibilities; i++)
        if ((int)can->supported_service_visibilities[i] == visibility)
            return true;
    return false;
}

static bool matches(const struct runner *runner, const cwsd_pb_runners_request *request)
{
    const cwsd_pb_runner_capabilities *can = &runner->capabilities;
    if (request->runner_group_id[0] &&
        strcmp(request->runner_group_id, runner->message.runner_group_id) != 0)
        return false;
    if (request->gpu_type[0] &&
        !contains(can->supported_gpu_types, can->n_supported_gpu_types, request->gpu_type))
        return false;
    if (request->architecture[0] &&
        !contains(can->supported_architectures, can->n_supported_architectures,
                  request->architecture))
        return false;
    if (request->service_visibility != NO_VISIBILITY &&
        !can_give(can, (int)request->service_visibility))
        return false;
    return runner->message.healthy || !request->healthy_only;
}

static bool handle_list(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_runners_request *request = message;
    cwsd_pb_runners_response response =
        COREWEAVE__SANDBOX__V1__LIST_AVAILABLE_RUNNERS_RESPONSE__INIT;
    struct runner runner;
    cwsd_pb_runner *runners[] = {&runner.message};
    if (!check_list(request, fault))
        return false;
    fill(&runner, unary, request->view);
    if (matches(&runner, request)) {
        response.n_runners = 1;
        response.runners = runners;
    }
    return cwsd_unary_answer(unary, &response);
}

/* ---- get ------------------------------------------------------------------------------------ */

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_runner_request *request = message;
    const char *own_id = cwsd_pool_runner_id(cwsd_unary_pool(unary));
    struct runner runner;
    if (!request->runner_id[0])
        return cwsd_fault_set_invalid(fault, "runner_id", "must not be empty");
    if (!check_view(request->view, fault))
        return false;
    if (strcmp(request->runner_id, own_id) != 0 ||
        (request->organization_id[0] &&
         strcmp(request->organization_id, CWSD_ORGANIZATION_ID) != 0)) {
        cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_RUNNER_NOT_FOUND,
                       "there is no runner \"%s\" of the organization \"%s\"; this daemon's one "
                       "runner is %s of " CWSD_ORGANIZATION_ID,
                       cwsd_text_short(request->runner_id).text,
                       cwsd_text_short(request->organization_id).text, own_id);
        cwsd_fault_note(fault, "runner_id", request->runner_id);
        return false;
    }
    fill(&runner, unary, request->view);
    return cwsd_unary_answer(unary, &runner.message);
}

const struct cwsd_unary_row cwsd_discovery_rows[] = {
    {.path = CWSD_DISCOVERY_SERVICE "ListAvailableRunners", .handle = handle_list},
    {.path = CWSD_DISCOVERY_SERVICE "GetAvailableRunner", .handle = handle_get},
    {.path = NULL},
};
