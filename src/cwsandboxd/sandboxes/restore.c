/* Restores the volumes of a new sandbox from snapshots, while its box waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandboxes/archives_private.h"
#include "values/spec_volumes.h"

/* One volume. */
struct part {
    struct cwsd_restore *restore;
    const char *volume; /* the spec's */
    struct cwsd_snapshot snapshot;
    int file_fd;                  /* held: the snapshot may be removed meanwhile */
    struct cwsd_archive *archive; /* while it runs */
};

struct cwsd_restore {
    struct cwsd_archives *archives;
    struct part *parts;
    size_t count;
    size_t next; /* part to restore */
    struct cwsd_box *box;
    void (*done)(void *ctx, const char *failed);
    void *ctx;
    struct cws_deferred told; /* that there was nothing to do, or that it could not be begun */
    char failed[300];
};

/* ---- opening -------------------------------------------------------------------------------- */

static const char *snapshot_of(const cwsd_pb_volume *volume)
{
    return cwsd_spec_is_scratch(volume) ? volume->scratch->restore_from_snapshot_id : "";
}

static bool open_part(struct cwsd_archives *archives, const cwsd_pb_volume *volume,
                      struct part *part, struct cwsd_fault *fault)
{
    char name[CWSD_ARCHIVE_NAME_SIZE];
    const char *id = snapshot_of(volume);
    part->file_fd = -1;
    part->volume = volume->name;
    if (!cwsd_archives_find(archives, id, &part->snapshot, fault))
        return false;
    if (part->snapshot.state != CWSD_SNAPSHOT_STATE(READY)) {
        bool failed = part->snapshot.state == CWSD_SNAPSHOT_STATE(FAILED);
        cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_NOT_READY,
                       "file system snapshot %s %s", id,
                       failed ? "has failed" : "is still being made");
        cwsd_fault_note(fault, "file_system_snapshot_id", id);
        return false;
    }
    cwsd_archives_name(id, true, name);
    part->file_fd = openat(archives->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (part->file_fd >= 0)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_RESTORE_FAILED,
                   "the archive of file system snapshot %s: %s", id, strerror(errno));
    cwsd_fault_note(fault, "file_system_snapshot_id", id);
    return false;
}

static void tell(struct cws_deferred *deferred)
{
    struct cwsd_restore *restore = cws_container_of(deferred, struct cwsd_restore, told);
    restore->done(restore->ctx, restore->failed[0] ? restore->failed : NULL);
}

static struct cwsd_restore *new_restore(struct cwsd_archives *archives, size_t most)
{
    struct cwsd_restore *restore = cws_calloc(1, sizeof(*restore));
    struct part *parts = cws_calloc(most, sizeof(*parts));
    if (!restore || !parts) {
        cws_free(restore);
        cws_free(parts);
        return NULL;
    }
    restore->archives = archives;
    restore->parts = parts;
    cws_list_init(&restore->told.node);
    restore->told.run = tell;
    return restore;
}

bool cwsd_restore_open(struct cwsd_archives *archives, const cwsd_pb_spec *spec,
                       struct cwsd_restore **out_restore, struct cwsd_fault *fault)
{
    *out_restore = NULL;
    if (!cwsd_spec_restores(spec))
        return true;
    if (!archives)
        return cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS,
                              "spec.volumes: this daemon has no file system snapshots");
    struct cwsd_restore *restore = new_restore(archives, spec->n_volumes);
    if (!restore)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < spec->n_volumes; i++) {
        if (!snapshot_of(spec->volumes[i])[0])
            continue;
        struct part *part = &restore->parts[restore->count++];
        part->restore = restore;
        if (!open_part(archives, spec->volumes[i], part, fault)) {
            cwsd_restore_free(restore);
            return false;
        }
    }
    *out_restore = restore;
    return true;
}

void cwsd_restore_free(struct cwsd_restore *restore)
{
    if (!restore)
        return;
    cws_list_remove(&restore->told.node);
    for (size_t i = 0; i < restore->count; i++) {
        if (restore->parts[i].archive)
            cwsd_archive_cancel(restore->parts[i].archive);
        if (restore->parts[i].file_fd >= 0)
            close(restore->parts[i].file_fd);
    }
    cws_free(restore->parts);
    cws_free(restore);
}

/* ---- restoring ------------------------------------------------------------------------------ */

static void restore_next(struct cwsd_restore *restore);

static void fail(struct part *part, const char *why)
{
    struct cwsd_restore *restore = part->restore;
    snprintf(restore->failed, sizeof(restore->failed),
             "the volume %s could not be restored from %s: %.180s", part->volume, part->snapshot.id,
             why);
    cws_loop_defer(restore->archives->loop, &restore->told);
}

/* What was unpacked is what was saved, byte for byte. */
static bool is_same(const struct cwsa_outcome *outcome, const struct cwsd_snapshot *snapshot)
{
    return outcome->size == snapshot->size &&
           memcmp(outcome->digest, snapshot->digest, sizeof(snapshot->digest)) == 0;
}

static void on_restored(void *ctx, const struct cwsa_outcome *outcome)
{
    struct part *part = ctx;
    part->archive = NULL;
    if (outcome->failed)
        fail(part, outcome->text);
    else if (!is_same(outcome, &part->snapshot))
        fail(part, "its archive is damaged: the digest is another one");
    else
        restore_next(part->restore);
}

/* One after the other: each has two processes. */
static void restore_next(struct cwsd_restore *restore)
{
    struct cws_error err;
    if (restore->next == restore->count) {
        cws_loop_defer(restore->archives->loop, &restore->told);
        return;
    }
    struct part *part = &restore->parts[restore->next++];
    const struct cwsd_archive_options options = {.program = restore->archives->program,
                                                 .volume_fd =
                                                     cwsd_box_volume(restore->box, part->volume),
                                                 .user = cwsd_box_user(restore->box),
                                                 .file_fd = part->file_fd};
    if (cwsd_archive_start(restore->archives->loop, &options, on_restored, part, &part->archive,
                           &err) != CWS_OK)
        fail(part, err.text);
}

void cwsd_restore_begin(struct cwsd_restore *restore, struct cwsd_box *box,
                        void (*done)(void *ctx, const char *failed), void *ctx)
{
    restore->box = box;
    restore->done = done;
    restore->ctx = ctx;
    restore_next(restore);
}
