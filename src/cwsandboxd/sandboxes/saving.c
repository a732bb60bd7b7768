#include "sandboxes/saving.h"

#include <string.h>

#include "values/bounds.h"
#include "values/spec_volumes.h"
#include "values/text.h"

static struct cwsd_archives *archives_of(struct cwsd_pool *pool, struct cwsd_fault *fault)
{
    struct cwsd_archives *archives = cwsd_pool_archives(pool);
    if (!archives)
        cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS,
                       "this daemon has no file system snapshots");
    return archives;
}

static bool check_request_id(const char *id, struct cwsd_fault *fault)
{
    return strlen(id) <= CWSD_MAX_REQUEST_ID_BYTES ||
           cwsd_fault_set_invalid(fault, "request_id", "has %zu bytes; at most %d are allowed",
                                  strlen(id), CWSD_MAX_REQUEST_ID_BYTES);
}

static bool set_not_running(const struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING,
                   "sandbox %s does not run, so it has no volumes (any more)", sandbox->record.id);
    cwsd_fault_note(fault, "sandbox_id", sandbox->record.id);
    return false;
}

/* The box that has its volumes; NULL: none (any more). */
static struct cwsd_box *home_of(const struct cwsd_sandbox *sandbox)
{
    return sandbox->container_count ? sandbox->containers[0].box : NULL;
}

/* Which of the sandbox's volumes is meant, if it can be saved. NULL with *fault set. */
static const cwsd_pb_volume *find_volume(const struct cwsd_sandbox *sandbox, const char *field,
                                         const char *name, struct cwsd_fault *fault)
{
    const cwsd_pb_volume *volume = cwsd_spec_find_volume(sandbox->record.spec, name);
    if (!volume) {
        cwsd_fault_set_invalid(fault, field, "sandbox %s has no volume \"%s\"", sandbox->record.id,
                               cwsd_text_short(name).text);
        return NULL;
    }
    if (cwsd_spec_is_scratch(volume))
        return volume;
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NOT_SNAPSHOTTABLE,
                   "%s: \"%s\" is a registered volume; snapshots are of scratch volumes", field,
                   volume->name);
    return NULL;
}

/* The name that the request leaves out is that of the only scratch volume. */
static const char *find_only(const struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    const cwsd_pb_spec *spec = sandbox->record.spec;
    const char *name = NULL;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        if (!cwsd_spec_is_scratch(spec->volumes[i]))
            continue;
        if (name) {
            cwsd_fault_set_invalid(fault, "scratch_volume_name",
                                   "sandbox %s has several scratch volumes; name one",
                                   sandbox->record.id);
            return NULL;
        }
        name = spec->volumes[i]->name;
    }
    if (!name)
        cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NOT_SNAPSHOTTABLE,
                       "sandbox %s has no scratch volume", sandbox->record.id);
    return name;
}

bool cwsd_saving_create(struct cwsd_pool *pool, const cwsd_pb_create_snapshot_request *request,
                        struct cwsd_snapshot *out, struct cwsd_fault *fault)
{
    struct cwsd_archives *archives = archives_of(pool, fault);
    struct cwsd_save save = {.trigger = CWSD_SNAPSHOT_TRIGGER(MANUAL),
                             .sandbox_id = request->sandbox_id,
                             .volume = request->scratch_volume_name,
                             .request_id = request->request_id,
                             .request = cwsd_digest_of(&request->base)};
    if (!archives || !check_request_id(request->request_id, fault))
        return false;
    if (cwsd_archives_find_repeated(archives, &save, out, fault))
        return true;
    if (cwsd_fault_is_set(fault))
        return false;
    struct cwsd_sandbox *sandbox = cwsd_pool_find(pool, request->sandbox_id, fault);
    if (!sandbox)
        return false;
    if (!save.volume[0])
        save.volume = find_only(sandbox, fault);
    if (!save.volume || !find_volume(sandbox, "scratch_volume_name", save.volume, fault))
        return false;
    save.box = home_of(sandbox);
    if (sandbox->record.state != CWSD_STATE(RUNNING) || !save.box)
        return set_not_running(sandbox, fault);
    return cwsd_archives_have_turn(archives, request->sandbox_id, fault) &&
           cwsd_archives_have_room(archives, 1, fault) &&
           cwsd_archives_save(archives, &save, out, fault);
}

/* ---- when a sandbox is deleted -------------------------------------------------------------- */

static struct cwsd_save save_on_delete(const cwsd_pb_delete_request *request, size_t i)
{
    return (struct cwsd_save){.trigger = CWSD_SNAPSHOT_TRIGGER(ON_DELETE),
                              .sandbox_id = request->sandbox_id,
                              .volume = request->snapshot_volumes[i],
                              .request_id = request->request_id,
                              .request = cwsd_digest_of(&request->base),
                              .position = (int)i};
}

bool cwsd_saving_find_repeated(struct cwsd_pool *pool, const cwsd_pb_delete_request *request,
                               struct cwsd_snapshot *out, struct cwsd_fault *fault)
{
    struct cwsd_archives *archives = archives_of(pool, fault);
    if (!archives || !check_request_id(request->request_id, fault))
        return false;
    for (size_t i = 0; i < request->n_snapshot_volumes; i++) {
        const struct cwsd_save save = save_on_delete(request, i);
        if (!cwsd_archives_find_repeated(archives, &save, &out[i], fault))
            return false;
    }
    return true;
}

static bool check_volumes(const struct cwsd_sandbox *sandbox, const cwsd_pb_delete_request *request,
                          struct cwsd_fault *fault)
{
    for (size_t i = 0; i < request->n_snapshot_volumes; i++) {
        const char *name = request->snapshot_volumes[i];
        if (!find_volume(sandbox, "snapshot_volumes", name, fault))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(request->snapshot_volumes[j], name) == 0)
                return cwsd_fault_set_invalid(fault, "snapshot_volumes", "\"%s\" is named twice",
                                              name);
    }
    return true;
}

bool cwsd_saving_on_delete(struct cwsd_sandbox *sandbox, const cwsd_pb_delete_request *request,
                           struct cwsd_snapshot *out, struct cwsd_fault *fault)
{
    struct cwsd_archives *archives = cwsd_pool_archives(sandbox->pool);
    struct cwsd_box *box = home_of(sandbox);
    struct cwsd_snapshot removed;
    struct cwsd_fault ignored;
    size_t made = 0;
    if (!check_volumes(sandbox, request, fault))
        return false;
    if (cwsd_record_is_finished(&sandbox->record) || !box ||
        cwsd_box_volume(box, request->snapshot_volumes[0]) < 0)
        return set_not_running(sandbox, fault);
    if (!cwsd_archives_have_room(archives, request->n_snapshot_volumes, fault))
        return false;
    for (; made < request->n_snapshot_volumes; made++) {
        struct cwsd_save save = save_on_delete(request, made);
        save.box = box;
        if (!cwsd_archives_save(archives, &save, &out[made], fault))
            break;
    }
    if (made == request->n_snapshot_volumes)
        return true;
    while (made > 0)
        cwsd_archives_remove(archives, out[--made].id, &removed, &ignored);
    return false;
}
