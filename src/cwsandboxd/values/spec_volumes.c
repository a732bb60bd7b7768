#include "values/spec_volumes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/path.h"
#include "values/quantity.h"
#include "values/spec_containers.h"
#include "values/text.h"

#define VOLUMES "spec.volumes"

#define SOURCE_NONE    COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE__NOT_SET
#define SOURCE_SCRATCH COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_SCRATCH
#define SOURCE_VOLUME  COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_VOLUME_ID
#define MEDIUM(name)   COREWEAVE__SANDBOX__V1__STORAGE_MEDIUM__STORAGE_MEDIUM_##name

/* Where no volume can be, as a sandbox needs what is there. Links that lead there are found when
 * the volume is mounted. */
static const char *const kept_free[] = {"/proc", "/dev", "/sys", "/.cwsandbox"};

/* ---- volumes -------------------------------------------------------------------------------- */

/* A DNS label, as the service has it. */
static bool is_volume_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) && name[i] != '-')
            return false;
    return len > 0 && len <= 63 && name[0] != '-' && name[len - 1] != '-';
}

static bool check_name(const cwsd_pb_spec *spec, size_t at, struct cwsd_fault *fault)
{
    const char *name = spec->volumes[at]->name;
    if (!is_volume_name(name))
        return cwsd_fault_set_invalid(
            fault, VOLUMES,
            "\"%s\" is no name of at most 63 lower-case letters, digits and inner hyphens",
            cwsd_text_short(name).text);
    for (size_t i = 0; i < at; i++)
        if (strcmp(spec->volumes[i]->name, name) == 0)
            return cwsd_fault_set_invalid(fault, VOLUMES, "two volumes are called \"%s\"", name);
    return true;
}

static bool give_source(cwsd_pb_volume *volume, struct cwsd_fault *fault)
{
    if (volume->source_case != SOURCE_NONE)
        return true;
    cwsd_pb_scratch *scratch = cws_malloc(sizeof(*scratch));
    if (!scratch)
        return cwsd_fault_set_memory(fault);
    coreweave__sandbox__v1__scratch_volume__init(scratch);
    volume->scratch = scratch;
    volume->source_case = SOURCE_SCRATCH;
    return true;
}

static bool check_scratch(const cwsd_pb_volume *volume, struct cwsd_fault *fault)
{
    const cwsd_pb_scratch *scratch = volume->scratch;
    uint64_t bytes;
    if (scratch->size[0] && (!cwsd_quantity_to_bytes(scratch->size, &bytes) || bytes == 0))
        return cwsd_fault_set_invalid(
            fault, VOLUMES, "the size \"%s\" of the volume \"%s\" is no size such as \"512Mi\"",
            cwsd_text_short(scratch->size).text, volume->name);
    if (scratch->medium != MEDIUM(UNSPECIFIED) && scratch->medium != MEDIUM(DISK) &&
        scratch->medium != MEDIUM(MEMORY))
        return cwsd_fault_set_invalid(fault, VOLUMES,
                                      "the medium %d of the volume \"%s\" is none there is",
                                      (int)scratch->medium, volume->name);
    return true;
}

static bool check_volumes(cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    if (spec->n_volumes > CWSD_MAX_VOLUMES)
        return cwsd_fault_set_invalid(fault, VOLUMES, "%zu volumes; at most %d are allowed",
                                      spec->n_volumes, CWSD_MAX_VOLUMES);
    for (size_t i = 0; i < spec->n_volumes; i++) {
        cwsd_pb_volume *volume = spec->volumes[i];
        if (!check_name(spec, i, fault) || !give_source(volume, fault))
            return false;
        if (volume->source_case == SOURCE_SCRATCH && !check_scratch(volume, fault))
            return false;
    }
    return true;
}

/* ---- mounts --------------------------------------------------------------------------------- */

const char *cwsd_spec_sub_path_fault(const char *path)
{
    if (strlen(path) > CWSD_MAX_PATH_BYTES)
        return "is too long";
    for (const char *part = path;; part++) {
        size_t len = strcspn(part, "/");
        bool dots = (len == 1 && part[0] == '.') || (len == 2 && memcmp(part, "..", 2) == 0);
        if (len == 0 || dots)
            return "must be relative, without parts that are empty, \".\" or \"..\"";
        if (len > CWSD_MAX_PART_BYTES)
            return "has a part that is too long";
        part += len;
        if (!*part)
            return NULL;
    }
}

static bool check_mount_path(const char *field, const char *path, struct cwsd_fault *fault)
{
    const char *wrong = cwsd_path_fault(path);
    if (!wrong && cwsd_path_compare(path, "/") == 0)
        wrong = "is the root, over which nothing can be mounted";
    for (size_t i = 0; !wrong && i < CWS_ARRAY_LEN(kept_free); i++)
        if (cwsd_path_is_in(path, kept_free[i]))
            return cwsd_fault_set_invalid(fault, field,
                                          "mount_path \"%s\" is in %s, which sandboxes need",
                                          cwsd_text_short(path).text, kept_free[i]);
    return !wrong || cwsd_fault_set_invalid(fault, field, "mount_path \"%s\" %s",
                                            cwsd_text_short(path).text, wrong);
}

/* Whether something else of the container is at the same place. */
static bool check_collisions(const char *field, const cwsd_pb_container *container, size_t at,
                             struct cwsd_fault *fault)
{
    const char *path = container->volume_mounts[at]->mount_path;
    for (size_t i = 0; i < at; i++)
        if (cwsd_path_compare(path, container->volume_mounts[i]->mount_path) == 0)
            return cwsd_fault_set_invalid(
                fault, field, "both \"%s\" and \"%s\" are mounted at \"%s\"",
                container->volume_mounts[i]->volume, container->volume_mounts[at]->volume,
                cwsd_text_short(path).text);
    for (size_t i = 0; i < container->n_files; i++)
        if (cwsd_path_is_in(path, container->files[i]->path))
            return cwsd_fault_set_invalid(
                fault, field, "mount_path \"%s\" collides with the file \"%s\"",
                cwsd_text_short(path).text, cwsd_text_short(container->files[i]->path).text);
    return true;
}

static bool check_mount(const char *field, const cwsd_pb_spec *spec,
                        const cwsd_pb_container *container, size_t at, struct cwsd_fault *fault)
{
    const cwsd_pb_mount *mount = container->volume_mounts[at];
    const char *wrong = mount->sub_path[0] ? cwsd_spec_sub_path_fault(mount->sub_path) : NULL;
    if (!cwsd_spec_find_volume(spec, mount->volume))
        return cwsd_fault_set_invalid(fault, field, "there is no volume \"%s\" in " VOLUMES,
                                      cwsd_text_short(mount->volume).text);
    if (wrong)
        return cwsd_fault_set_invalid(fault, field, "sub_path \"%s\" %s",
                                      cwsd_text_short(mount->sub_path).text, wrong);
    return check_mount_path(field, mount->mount_path, fault) &&
           check_collisions(field, container, at, fault);
}

bool cwsd_spec_check_volumes(cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    char field[64];
    if (!check_volumes(spec, fault))
        return false;
    for (size_t i = 0; i < spec->n_containers; i++) {
        const cwsd_pb_container *container = spec->containers[i];
        snprintf(field, sizeof(field), "spec.containers[%zu].volume_mounts", i);
        if (container->n_volume_mounts > CWSD_MAX_MOUNTS)
            return cwsd_fault_set_invalid(fault, field, "%zu mounts; at most %d are allowed",
                                          container->n_volume_mounts, CWSD_MAX_MOUNTS);
        for (size_t at = 0; at < container->n_volume_mounts; at++)
            if (!check_mount(field, spec, container, at, fault))
                return false;
    }
    return true;
}

/* ---- of a checked spec ---------------------------------------------------------------------- */

const cwsd_pb_volume *cwsd_spec_find_volume(const cwsd_pb_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_volumes; i++)
        if (strcmp(spec->volumes[i]->name, name) == 0)
            return spec->volumes[i];
    return NULL;
}

const char *cwsd_spec_registered(const cwsd_pb_volume *volume)
{
    return volume->source_case == SOURCE_VOLUME ? volume->volume_id : NULL;
}

bool cwsd_spec_attaches(const cwsd_pb_spec *spec, const char *volume_id)
{
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const char *id = cwsd_spec_registered(spec->volumes[i]);
        if (id && strcmp(id, volume_id) == 0)
            return true;
    }
    return false;
}

bool cwsd_spec_is_scratch(const cwsd_pb_volume *volume)
{
    return volume->source_case == SOURCE_SCRATCH;
}

bool cwsd_spec_restores(const cwsd_pb_spec *spec)
{
    for (size_t i = 0; i < spec->n_volumes; i++)
        if (cwsd_spec_is_scratch(spec->volumes[i]) &&
            spec->volumes[i]->scratch->restore_from_snapshot_id[0])
            return true;
    return false;
}

uint64_t cwsd_spec_volume_bytes(const cwsd_pb_volume *volume)
{
    uint64_t bytes = 0;
    if (volume->scratch->size[0])
        cwsd_quantity_to_bytes(volume->scratch->size, &bytes);
    return bytes;
}

/* ---- what there is room for ----------------------------------------------------------------- */

#define PAGE 4096

/* In whole pages, as the kernel counts; UINT64_MAX for a volume that takes what is left. */
static uint64_t wanted_bytes(const cwsd_pb_volume *volume)
{
    uint64_t bytes = cwsd_spec_volume_bytes(volume);
    return bytes == 0 || bytes > UINT64_MAX - PAGE ? UINT64_MAX : (bytes + PAGE - 1) / PAGE * PAGE;
}

/* The share of each scratch volume that wants more than `level`, when the others get all they want.
 * UINT64_MAX: there is none that wants more. */
static uint64_t share_above(const cwsd_pb_spec *spec, uint64_t room, uint64_t level)
{
    uint64_t left = room;
    size_t count = 0;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        if (!cwsd_spec_is_scratch(spec->volumes[i]))
            continue;
        uint64_t bytes = wanted_bytes(spec->volumes[i]);
        if (bytes > level)
            count++;
        else
            left -= bytes;
    }
    return count ? left / count / PAGE * PAGE : UINT64_MAX;
}

/* Whether all that have a size can have it, and those without one a page each. */
static bool all_fit(const cwsd_pb_spec *spec, uint64_t room)
{
    uint64_t left = room;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        if (!cwsd_spec_is_scratch(spec->volumes[i]))
            continue;
        bool sized = cwsd_spec_volume_bytes(spec->volumes[i]) > 0;
        uint64_t bytes = sized ? wanted_bytes(spec->volumes[i]) : PAGE;
        if (bytes > left)
            return false;
        left -= bytes;
    }
    return true;
}

static enum cws_status set_size(cwsd_pb_scratch *scratch, uint64_t bytes)
{
    char text[32];
    snprintf(text, sizeof(text), "%lluKi", (unsigned long long)(bytes / 1024));
    char *size = cws_strdup(text);
    if (!size)
        return CWS_NO_MEMORY;
    cws_free(scratch->size);
    scratch->size = size;
    return CWS_OK;
}

enum cws_status cwsd_spec_fit_volumes(cwsd_pb_spec *spec, uint64_t room)
{
    uint64_t level = 0, share;
    if (all_fit(spec, room))
        return CWS_OK;
    /* Those that want less than a share leave more for the others. The share only grows. */
    while ((share = share_above(spec, room, level)) > level)
        level = share;
    enum cws_status status = CWS_OK;
    for (size_t i = 0; status == CWS_OK && level && i < spec->n_volumes; i++) {
        cwsd_pb_volume *volume = spec->volumes[i];
        if (cwsd_spec_is_scratch(volume) && volume->scratch->size[0] &&
            wanted_bytes(volume) > level)
            status = set_size(volume->scratch, level);
    }
    return status;
}
