#include "sandboxes/from_file.h"

#include "base/alloc.h"
#include "values/compose.h"
#include "values/text.h"
#include "values/wire.h"

#define TYPE(name)    COREWEAVE__SANDBOX__V1__SANDBOX_FILE_TYPE__SANDBOX_FILE_TYPE_##name
#define CONTROL(name) COREWEAVE__SANDBOX__V1__CONTROL__CONTROL_##name

/* Moves a field of the request to the same field of a message, which must be empty. */
#define MOVE(to, from, field, nothing) \
    do { \
        (to)->field = (from)->field; \
        (from)->field = nothing; \
    } while (0)
#define MOVE_LIST(to, from, field) \
    do { \
        MOVE(to, from, field, NULL); \
        MOVE(to, from, n_##field, 0); \
    } while (0)

static bool refuse_here(struct cwsd_fault *fault, const char *field, const char *what)
{
    cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "%s: this daemon has no %s", field, what);
    cwsd_fault_note(fault, "field", field);
    return false;
}

static bool check(const cwsd_pb_from_file_request *request, struct cwsd_fault *fault)
{
    if (request->type == TYPE(UNSPECIFIED))
        return cwsd_fault_set_invalid(fault, "type", "must be given");
    if (request->type != TYPE(COMPOSE))
        return refuse_here(fault, "type", "files of this type");
    if (request->control == CONTROL(CONTAINER_ENGINE))
        return refuse_here(fault, "control", "container engine");
    if (request->control != CONTROL(UNSPECIFIED) && request->control != CONTROL(PLATFORM))
        return cwsd_fault_set_invalid(fault, "control", "%d is no control", (int)request->control);
    if (request->n_build_contexts || request->n_build_context_objects || request->n_builder_sizes)
        return refuse_here(fault, "build_contexts", "builds of images");
    if (request->n_image_pull_credentials)
        return refuse_here(fault, "image_pull_credentials", "images to pull");
    return request->primary_service[0] ||
           cwsd_fault_set_invalid(fault, "primary_service", "must be given");
}

/* So that equal requests are equal messages. */
static bool sort_maps(cwsd_pb_from_file_request *request, struct cwsd_fault *fault)
{
    struct cwsd_pairs annotations = CWSD_PAIRS(request, annotations);
    struct cwsd_pairs images = CWSD_PAIRS(request, image_overrides);
    const char *twice = cwsd_pairs_sort(&annotations);
    if (twice)
        return cwsd_fault_set_invalid(fault, "annotations", "%s is given twice",
                                      cwsd_text_short(twice).text);
    twice = cwsd_pairs_sort(&images);
    return !twice || cwsd_fault_set_invalid(fault, "image_overrides", "%s is given twice",
                                            cwsd_text_short(twice).text);
}

/* The entries of the two maps are alike but for their descriptor. */
static void move_annotations(cwsd_pb_from_file_request *request, cwsd_pb_spec *spec)
{
    for (size_t i = 0; i < request->n_annotations; i++)
        request->annotations[i]->base.descriptor =
            &coreweave__sandbox__v1__sandbox_spec__annotations_entry__descriptor;
    spec->annotations = (void *)request->annotations;
    spec->n_annotations = request->n_annotations;
    request->annotations = NULL;
    request->n_annotations = 0;
}

static void move_settings(cwsd_pb_from_file_request *request, cwsd_pb_spec *spec)
{
    spec->mode = request->mode;
    spec->max_lifetime_seconds = request->max_lifetime_seconds;
    MOVE_LIST(spec, request, tags);
    MOVE_LIST(spec, request, network_ids);
    MOVE_LIST(spec, request, runner_ids);
    MOVE(spec, request, network, NULL);
    MOVE(spec, request, object_storage_access, NULL);
    move_annotations(request, spec);
}

static bool fill_spec(cwsd_pb_from_file_request *request, cwsd_pb_spec *spec,
                      struct cwsd_plan **out_plan, struct cwsd_fault *fault)
{
    const struct cwsd_compose_request compose = {.text = request->contents.data,
                                                 .len = request->contents.len,
                                                 .primary_service = request->primary_service,
                                                 .default_resources = request->default_resources,
                                                 .images = CWSD_PAIRS(request, image_overrides)};
    if (!cwsd_compose_read(&compose, spec, out_plan, fault))
        return false;
    move_settings(request, spec);
    return true;
}

struct cwsd_sandbox *cwsd_pool_create_from_file(struct cwsd_pool *pool,
                                                cwsd_pb_from_file_request *request,
                                                struct cwsd_fault *fault)
{
    cwsd_pb_create_request create = COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
    cwsd_pb_sandbox wanted = COREWEAVE__SANDBOX__V1__SANDBOX__INIT;
    struct cwsd_sandbox *sandbox = NULL;
    if (!check(request, fault) || !sort_maps(request, fault))
        return NULL;
    struct cwsd_plan *plan = NULL;
    const struct cwsd_origin origin = {.digest = cwsd_digest_of(&request->base), .plan = &plan};
    wanted.spec = cws_malloc(sizeof(*wanted.spec));
    if (!wanted.spec) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    coreweave__sandbox__v1__sandbox_spec__init(wanted.spec);
    wanted.display_name = request->display_name;
    create.sandbox = &wanted;
    create.request_id = request->request_id;
    if (fill_spec(request, wanted.spec, &plan, fault))
        sandbox = cwsd_pool_create_from(pool, &create, &origin, fault);
    cwsd_wire_free(wanted.spec); /* if the sandbox has not taken them */
    cwsd_plan_free(plan);
    return sandbox;
}
