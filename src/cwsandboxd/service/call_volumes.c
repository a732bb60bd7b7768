/*
 * VolumeService: volumes that people register, which are persistent volume claims of a cluster.
 * Here a claim is a directory (store/claims.h). Without --volume-dir there are none: the records
 * are kept, and found, changed and deleted as any, but a volume that has been validated is in ERROR
 * and says why; no sandbox can be attached to it.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "service/calls.h"
#include "service/view.h"
#include "store/resource_page.h"
#include "values/spec_volumes.h"
#include "values/text.h"

#define KIND        CWSD_RESOURCE_VOLUME
#define STATE(name) COREWEAVE__SANDBOX__V1__VOLUME_STATE__VOLUME_STATE_##name
#define SOURCE_PVC  COREWEAVE__SANDBOX__V1__VOLUME_SPEC__SOURCE_PVC

static const char why_not[] =
    "this runner is one host without a cluster: there are no persistent volume claims, and no "
    "directories for them (--volume-dir)";

static char *read_write[] = {(char *)"ReadWriteMany"};
static char *read_only[] = {(char *)"ReadOnlyMany"};

static struct cwsd_database *database_of(const struct cwsd_unary *unary)
{
    return cwsd_service_of(unary->call)->database;
}

/* A volume in the making: a message and its status, which point into each other. */
struct volume {
    cwsd_pb_registered message;
    cwsd_pb_registered_spec spec;
    cwsd_pb_registered_status status;
    cwsd_pb_timestamp time;
    struct cwsd_fault why; /* what the reason of its state points to */
    char capacity[32];
};

static size_t count_attached(const struct cwsd_service *service, const char *volume_id)
{
    return cwsd_registry_count_attached(cwsd_pool_registry(service->pool), volume_id);
}

/* A record as it is now: another daemon may have had directories, and sandboxes come and go. */
static void show(const struct cwsd_service *service, const cwsd_pb_registered *record,
                 struct volume *out)
{
    out->message = *record;
    out->status = *record->status;
    out->message.status = &out->status;
    out->status.attached_sandbox_count = (int32_t)count_attached(service, record->volume_id);
    if (!service->claims && out->status.state == STATE(READY)) {
        out->status.state = STATE(ERROR);
        out->status.state_reason = (char *)why_not;
    }
}

static bool answer(struct cwsd_unary *unary, const cwsd_pb_registered *record)
{
    struct volume shown;
    show(cwsd_service_of(unary->call), record, &shown);
    return cwsd_unary_answer(unary, &shown.message);
}

static void set_status(struct volume *volume, const cwsd_pb_registered_status *before)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    volume->time = cwsd_view_timestamp(time);
    if (before)
        volume->status = *before;
    else
        coreweave__sandbox__v1__volume_status__init(&volume->status);
    volume->message.status = &volume->status;
}

/* Whether the directory is there, which is made if it is missing. Its size is the file system's:
 * nothing limits a directory. */
static void look_at(const struct cwsd_claims *claims, struct volume *volume)
{
    int fd = cwsd_claims_folder(claims, volume->message.spec->pvc, &volume->why);
    if (fd < 0) {
        volume->status.state_reason = volume->why.message;
        return;
    }
    close(fd);
    volume->status.state = STATE(READY);
    volume->status.locality =
        COREWEAVE__SANDBOX__V1__VOLUME_LOCALITY__VOLUME_LOCALITY_CLUSTER_LOCAL;
    volume->status.n_access_modes = 1;
    volume->status.access_modes = volume->message.spec->read_only ? read_only : read_write;
    if (cwsd_claims_capacity(claims, volume->capacity, sizeof(volume->capacity)))
        volume->status.capacity = volume->capacity;
}

/* What is kept is the outcome of a validation, which is known at once. */
static void validate(const struct cwsd_service *service, struct volume *volume)
{
    volume->status.state = STATE(ERROR);
    volume->status.state_reason = (char *)(service->claims ? protobuf_c_empty_string : why_not);
    if (service->claims)
        look_at(service->claims, volume);
    volume->status.last_validated_time = &volume->time;
    volume->status.update_time = &volume->time;
}

/* The answer to the call that has begun a validation, or a deletion. */
static bool answer_passing(struct cwsd_unary *unary, struct volume *volume, int state)
{
    volume->status.state = state;
    volume->status.state_reason = (char *)protobuf_c_empty_string;
    return answer(unary, &volume->message);
}

/* False with *fault NOT_FOUND. */
static bool find(struct cwsd_database *database, const char *id, struct cwsd_resource *out,
                 struct cwsd_fault *fault)
{
    memset(out, 0, sizeof(*out));
    if (id[0] == '\0') {
        cwsd_fault_set_invalid(fault, "volume_id", "must not be empty");
        return false;
    }
    if (!cwsd_resource_find(database, KIND, CWSD_BY_ID, id, out, fault))
        return false;
    if (out->message)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_VOLUME_NOT_FOUND,
                   "there is no volume \"%s\"", cwsd_text_short(id).text);
    cwsd_fault_note(fault, "volume_id", id);
    return false;
}

static bool check_ready(const struct cwsd_service *service, const char *id,
                        struct cwsd_fault *fault)
{
    struct cwsd_resource found;
    struct volume shown;
    bool ready = find(service->database, id, &found, fault);
    if (ready) {
        show(service, found.message, &shown);
        ready = shown.status.state == STATE(READY);
        if (!ready) {
            cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_VOLUME_NOT_READY,
                           "the volume \"%s\" is not ready: %s", cwsd_text_short(found.id).text,
                           shown.status.state_reason);
            cwsd_fault_note(fault, "volume_id", found.id);
        }
    }
    cwsd_resource_done(&found);
    return ready;
}

bool cwsd_volumes_check(const struct cwsd_service *service, const cwsd_pb_spec *spec,
                        struct cwsd_fault *fault)
{
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const char *id = cwsd_spec_registered(spec->volumes[i]);
        if (id && !check_ready(service, id, fault))
            return false;
    }
    return true;
}

/* ---- create --------------------------------------------------------------------------------- */

static bool check_text(const char *field, const char *text, size_t least, struct cwsd_fault *fault)
{
    size_t len = strlen(text);
    return (len >= least && len <= CWSD_MAX_NAME_BYTES) ||
           cwsd_fault_set_invalid(fault, field, "\"%s\" must have %zu to %d bytes",
                                  cwsd_text_short(text).text, least, CWSD_MAX_NAME_BYTES);
}

static bool check_claim(const cwsd_pb_claim *claim, const char *runner_id, struct cwsd_fault *fault)
{
    if (!check_text("volume.spec.pvc.runner_id", claim->runner_id, 1, fault) ||
        !check_text("volume.spec.pvc.namespace", claim->namespace_, 1, fault) ||
        !check_text("volume.spec.pvc.claim_name", claim->claim_name, 1, fault) ||
        !check_text("volume.spec.pvc.sub_path", claim->sub_path, 0, fault))
        return false;
    const char *wrong = claim->sub_path[0] ? cwsd_spec_sub_path_fault(claim->sub_path) : NULL;
    if (wrong)
        return cwsd_fault_set_invalid(fault, "volume.spec.pvc.sub_path", "\"%s\" %s",
                                      cwsd_text_short(claim->sub_path).text, wrong);
    if (strcmp(claim->runner_id, runner_id) == 0)
        return true;
    return cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_VOLUME_RUNNER,
                          "volume.spec.pvc.runner_id: \"%s\" is not here; this daemon's one "
                          "runner is %s",
                          cwsd_text_short(claim->runner_id).text, runner_id);
}

static bool check_create(struct cwsd_unary *unary, const cwsd_pb_volume_create_request *request,
                         struct cwsd_fault *fault)
{
    const cwsd_pb_registered *wanted = request->volume;
    if (!wanted)
        return cwsd_fault_set_invalid(fault, "volume", "must be given");
    if (strlen(request->request_id) > CWSD_MAX_REQUEST_ID_BYTES)
        return cwsd_fault_set_invalid(fault, "request_id", "has %zu bytes; at most %d are allowed",
                                      strlen(request->request_id), CWSD_MAX_REQUEST_ID_BYTES);
    if (!check_text("volume.volume_id", wanted->volume_id, 1, fault))
        return false;
    if (!wanted->spec || wanted->spec->source_case != SOURCE_PVC)
        return cwsd_fault_set_invalid(fault, "volume.spec.pvc", "must be given");
    return check_claim(wanted->spec->pvc, cwsd_pool_runner_id(cwsd_unary_pool(unary)), fault);
}

static bool check_room(struct cwsd_database *database, struct cwsd_fault *fault)
{
    size_t count;
    if (!cwsd_resource_count(database, KIND, &count, fault))
        return false;
    return count < CWSD_MAX_REGISTERED ||
           cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_VOLUME_QUOTA,
                          "there are %zu volumes, as many as this daemon keeps", count);
}

static bool add(struct cwsd_unary *unary, const cwsd_pb_volume_create_request *request,
                struct cwsd_digest digest, struct cwsd_fault *fault)
{
    struct volume volume = {.message = *request->volume};
    if (!check_room(database_of(unary), fault))
        return false;
    set_status(&volume, NULL);
    volume.status.create_time = &volume.time;
    validate(cwsd_service_of(unary->call), &volume);
    struct cwsd_resource resource = {.kind = KIND,
                                     .id = volume.message.volume_id,
                                     .name = "",
                                     .request_id = request->request_id,
                                     .digest = digest,
                                     .message = &volume.message};
    return cwsd_resource_add(database_of(unary), &resource, fault) &&
           answer_passing(unary, &volume, STATE(VALIDATING));
}

/* Ids and request ids are one volume's. */
static bool is_new(struct cwsd_database *database, const cwsd_pb_registered *wanted,
                   const struct cwsd_resource *repeated, struct cwsd_fault *fault)
{
    struct cwsd_resource other;
    if (repeated->message) {
        cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT,
                       "request_id: it was used before for another request; it made the volume "
                       "\"%s\"",
                       cwsd_text_short(repeated->id).text);
        return false;
    }
    if (!cwsd_resource_find(database, KIND, CWSD_BY_ID, wanted->volume_id, &other, fault))
        return false;
    if (other.message) {
        cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_VOLUME_EXISTS,
                       "volume.volume_id: there is a volume \"%s\" already",
                       cwsd_text_short(wanted->volume_id).text);
        cwsd_fault_note(fault, "volume_id", wanted->volume_id);
    }
    bool is = !other.message;
    cwsd_resource_done(&other);
    return is;
}

static bool handle_create(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_create_request *request = message;
    struct cwsd_resource repeated;
    if (!check_create(unary, request, fault))
        return false;
    struct cwsd_digest digest = cwsd_digest_of(&request->volume->base);
    if (!cwsd_resource_find(database_of(unary), KIND, CWSD_BY_REQUEST, request->request_id,
                            &repeated, fault))
        return false;
    bool done;
    if (repeated.message && cwsd_digest_equal(repeated.digest, digest))
        done = answer(unary, repeated.message);
    else
        done = is_new(database_of(unary), request->volume, &repeated, fault) &&
               add(unary, request, digest, fault);
    cwsd_resource_done(&repeated);
    return done;
}

/* ---- get, list ------------------------------------------------------------------------------ */

static bool handle_get(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_get_request *request = message;
    struct cwsd_resource found;
    bool good =
        find(database_of(unary), request->volume_id, &found, fault) && answer(unary, found.message);
    cwsd_resource_done(&found);
    return good;
}

struct question {
    const struct cwsd_service *service;
    const cwsd_pb_volume_list_request *request;
};

static bool matches(const void *message, const void *wanted)
{
    const cwsd_pb_registered *volume = message;
    const struct question *question = wanted;
    const cwsd_pb_volume_list_request *request = question->request;
    struct volume shown;
    show(question->service, volume, &shown);
    bool state = request->n_states == 0, runner = request->n_runner_ids == 0;
    for (size_t i = 0; i < request->n_states; i++)
        state |= request->states[i] == shown.status.state;
    for (size_t i = 0; i < request->n_runner_ids; i++)
        runner |= strcmp(request->runner_ids[i], volume->spec->pvc->runner_id) == 0;
    return state && runner;
}

/* Of the request without its page: which list a token belongs to. */
static uint64_t fingerprint(const cwsd_pb_volume_list_request *request)
{
    cwsd_pb_volume_list_request question = *request;
    question.page_size = 0;
    question.page_token = (char *)protobuf_c_empty_string;
    return cwsd_digest_of(&question.base).half[0];
}

static bool answer_page(struct cwsd_unary *unary, const struct cwsd_resource_page *page,
                        struct cwsd_fault *fault)
{
    cwsd_pb_volume_list_response response = COREWEAVE__SANDBOX__V1__LIST_VOLUMES_RESPONSE__INIT;
    struct volume *shown = cws_calloc(page->count + 1, sizeof(*shown));
    cwsd_pb_registered **list = cws_calloc(page->count + 1, sizeof(cwsd_pb_registered *));
    bool good = shown && list;
    for (size_t i = 0; good && i < page->count; i++) {
        show(cwsd_service_of(unary->call), page->messages[i], &shown[i]);
        list[i] = &shown[i].message;
    }
    response.n_volumes = page->count;
    response.volumes = list;
    response.next_page_token = (char *)page->next_token;
    good = good ? cwsd_unary_answer(unary, &response) : cwsd_fault_set_memory(fault);
    cws_free(list);
    cws_free(shown);
    return good;
}

static bool handle_list(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_list_request *request = message;
    const struct question question = {cwsd_service_of(unary->call), request};
    const struct cwsd_resource_filter filter = {
        .kind = KIND, .matches = matches, .request = &question};
    struct cwsd_page wanted;
    struct cwsd_resource_page page;
    if (!cwsd_page_set_size(&wanted, request->page_size, fault) ||
        !cwsd_page_set_token(&wanted, request->page_token, fingerprint(request), fault))
        return false;
    bool good = cwsd_resource_page_read(database_of(unary), &filter, &wanted, &page, fault) &&
                answer_page(unary, &page, fault);
    cwsd_resource_page_done(&page);
    return good;
}

/* ---- update, validate, delete --------------------------------------------------------------- */

/* *out_all: the whole volume is given, and what cannot be changed must be as it is. */
static bool read_mask(const Google__Protobuf__FieldMask *mask, bool *out_all,
                      struct cwsd_fault *fault)
{
    *out_all = !mask || mask->n_paths == 0;
    for (size_t i = 0; mask && i < mask->n_paths; i++) {
        bool all = strcmp(mask->paths[i], "*") == 0 || strcmp(mask->paths[i], "spec") == 0;
        *out_all |= all;
        if (!all && strcmp(mask->paths[i], "spec.description") != 0)
            return cwsd_fault_set_invalid(fault, "update_mask",
                                          "\"%s\" cannot be changed; spec.description can",
                                          cwsd_text_short(mask->paths[i]).text);
    }
    return true;
}

static bool check_unchanged(const cwsd_pb_registered *is, const cwsd_pb_registered *wanted,
                            bool all, struct cwsd_fault *fault)
{
    const char *field = NULL;
    if (wanted->volume_id[0] && strcmp(wanted->volume_id, is->volume_id) != 0)
        field = "volume.volume_id";
    else if (all && (wanted->spec->source_case != SOURCE_PVC ||
                     !cwsd_digest_equal(cwsd_digest_of(&wanted->spec->pvc->base),
                                        cwsd_digest_of(&is->spec->pvc->base))))
        field = "volume.spec.pvc";
    else if (all && wanted->spec->read_only != is->spec->read_only)
        field = "volume.spec.read_only";
    return !field || cwsd_fault_set_invalid(fault, field, "cannot be changed");
}

static bool update(struct cwsd_unary *unary, const cwsd_pb_volume_update_request *request,
                   struct cwsd_resource *found, struct cwsd_fault *fault)
{
    const cwsd_pb_registered *is = found->message;
    struct volume volume = {.message = *is, .spec = *is->spec};
    bool all;
    if (!request->volume || !request->volume->spec)
        return cwsd_fault_set_invalid(fault, "volume.spec", "must be given");
    if (!read_mask(request->update_mask, &all, fault) ||
        !check_unchanged(is, request->volume, all, fault))
        return false;
    set_status(&volume, is->status);
    volume.status.update_time = &volume.time;
    volume.spec.description = request->volume->spec->description;
    volume.message.spec = &volume.spec;
    struct cwsd_resource changed = *found;
    changed.message = &volume.message;
    return cwsd_resource_save(database_of(unary), &changed, fault) &&
           answer(unary, &volume.message);
}

static bool handle_update(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_update_request *request = message;
    struct cwsd_resource found;
    bool good = find(database_of(unary), request->volume_id, &found, fault) &&
                update(unary, request, &found, fault);
    cwsd_resource_done(&found);
    return good;
}

static bool handle_validate(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_validate_request *request = message;
    struct cwsd_resource found;
    bool good = find(database_of(unary), request->volume_id, &found, fault);
    if (good) {
        const cwsd_pb_registered *is = found.message;
        struct volume volume = {.message = *is};
        struct cwsd_resource changed = found;
        set_status(&volume, is->status);
        validate(cwsd_service_of(unary->call), &volume);
        changed.message = &volume.message;
        good = cwsd_resource_save(database_of(unary), &changed, fault) &&
               answer_passing(unary, &volume, STATE(VALIDATING));
    }
    cwsd_resource_done(&found);
    return good;
}

/* Clients take the answer for the volume: it has its id even if there was none. */
static bool answer_missing(struct cwsd_unary *unary, const char *id)
{
    struct volume volume = {0};
    coreweave__sandbox__v1__volume__init(&volume.message);
    volume.message.volume_id = (char *)id;
    set_status(&volume, NULL);
    return answer_passing(unary, &volume, STATE(DELETING));
}

/* Only its record goes: what is in the claim stays. */
static bool check_unused(const struct cwsd_service *service, const char *id,
                         struct cwsd_fault *fault)
{
    size_t count = count_attached(service, id);
    if (count == 0)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_VOLUME_IN_USE,
                   "the volume \"%s\" is attached to %zu sandbox%s", cwsd_text_short(id).text,
                   count, count == 1 ? "" : "es");
    cwsd_fault_note(fault, "volume_id", id);
    return false;
}

static bool handle_delete(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_volume_delete_request *request = message;
    struct cwsd_resource found;
    bool good = find(database_of(unary), request->volume_id, &found, fault);
    if (good) {
        const cwsd_pb_registered *is = found.message;
        struct volume volume = {.message = *is};
        set_status(&volume, is->status);
        good = (request->force ||
                check_unused(cwsd_service_of(unary->call), request->volume_id, fault)) &&
               cwsd_resource_remove(database_of(unary), &found, fault) &&
               answer_passing(unary, &volume, STATE(DELETING));
    } else if (fault->code == CWS_GRPC_NOT_FOUND && request->allow_missing) {
        good = answer_missing(unary, request->volume_id);
    }
    cwsd_resource_done(&found);
    return good;
}

const struct cwsd_unary_row cwsd_volume_rows[] = {
    {.path = CWSD_VOLUME_SERVICE "CreateVolume", .handle = handle_create},
    {.path = CWSD_VOLUME_SERVICE "GetVolume", .handle = handle_get},
    {.path = CWSD_VOLUME_SERVICE "ListVolumes", .handle = handle_list},
    {.path = CWSD_VOLUME_SERVICE "UpdateVolume", .handle = handle_update},
    {.path = CWSD_VOLUME_SERVICE "DeleteVolume", .handle = handle_delete},
    {.path = CWSD_VOLUME_SERVICE "ValidateVolume", .handle = handle_validate},
    {.path = NULL},
};
