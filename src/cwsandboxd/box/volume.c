/*
 * The volumes of a box. Its init makes the scratch ones before any command runs, and gives the
 * daemon a descriptor of each. Those that are directories of the host it is given as mounts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/box_private.h"
#include "host/tree.h"

#define PAGE 4096
/* As for what is written elsewhere (layout.c), but there is always room for a few. */
#define BYTES_A_FILE 8192
#define MIN_FILES    64

/* Names are at most as long as a file's. */
#define CWSD_VOLUME_PATH (sizeof(CWSI_VOLUMES) + 256)

struct cwsd_box_volume {
    char *name;
    uint64_t bytes;
    int fd; /* -1: not reported yet */
};

int cwsd_box_volume(const struct cwsd_box *box, const char *name)
{
    for (size_t i = 0; i < box->volume_count; i++)
        if (strcmp(box->volumes[i].name, name) == 0)
            return box->volumes[i].fd;
    return -1;
}

int cwsd_box_lent(const struct cwsd_box *box, size_t i)
{
    return box->lent[i];
}

uid_t cwsd_box_user(const struct cwsd_box *box)
{
    return box->user;
}

/* Whole pages, as the kernel counts. */
static uint64_t round_up(uint64_t bytes)
{
    return bytes < UINT64_MAX - PAGE ? (bytes + PAGE - 1) / PAGE * PAGE : bytes;
}

/* The size of each volume that has none of its own; 0 if all have one. */
static enum cws_status find_share(const struct cwsd_box_options *options, uint64_t limit,
                                  uint64_t *out_share, struct cws_error *err)
{
    uint64_t left = limit;
    size_t unsized = 0;
    *out_share = 0;
    for (size_t i = 0; i < options->volume_count; i++) {
        uint64_t bytes = round_up(options->volumes[i].bytes);
        if (bytes > left)
            return cws_error_set(
                err, CWS_TOO_LARGE,
                "the volumes want more than the %llu bytes that those of a sandbox "
                "may have together (--max-written)",
                (unsigned long long)limit);
        left -= bytes;
        unsized += bytes == 0;
    }
    if (unsized)
        *out_share = left / unsized / PAGE * PAGE;
    if (unsized && *out_share == 0)
        return cws_error_set(err, CWS_TOO_LARGE,
                             "the volumes with a size leave nothing for those without one; all may "
                             "have %llu bytes together (--max-written)",
                             (unsigned long long)limit);
    return CWS_OK;
}

static enum cws_status add_volumes(struct cwsd_box *box, const struct cwsd_box_options *options,
                                   uint64_t share)
{
    box->volumes = cws_calloc(options->volume_count, sizeof(*box->volumes));
    if (!box->volumes)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < options->volume_count; i++) {
        struct cwsd_box_volume *volume = &box->volumes[i];
        const struct cwsd_volume *wanted = &options->volumes[i];
        volume->fd = -1;
        volume->bytes = wanted->bytes ? round_up(wanted->bytes) : share;
        volume->name = cws_strdup(wanted->name);
        box->volume_count++;
        if (!volume->name)
            return CWS_NO_MEMORY;
    }
    return CWS_OK;
}

/* The mount `fd` becomes the box's. */
static enum cws_status add_give(struct cwsd_box *box, int fd)
{
    struct cwsd_request *give = &box->gives[box->give_count];
    if (fd < 0)
        return CWS_SYSTEM;
    cwsd_request_init(give, CWSI_GIVE, CWSI_MAIN);
    give->owner = box;
    give->fds[0] = fd;
    give->fd_count = 1;
    box->give_count++;
    return CWS_OK;
}

/* In the order of the steps that take them. */
static enum cws_status add_gives(struct cwsd_box *box, const struct cwsd_box_options *options,
                                 struct cws_error *err)
{
    enum cws_status status = CWS_OK;
    box->gives = cws_calloc(options->folder_count + options->mount_count, sizeof(*box->gives));
    if (!box->gives)
        return cws_error_set(err, CWS_NO_MEMORY, "no memory is left for volumes");
    for (size_t i = 0; status == CWS_OK && i < options->folder_count; i++) {
        const struct cwsd_folder *folder = &options->folders[i];
        int tree;
        status = cwsd_tree_make(folder->fd, folder->read_only, box->user, &tree, err);
        if (status == CWS_OK)
            status = add_give(box, tree);
        else
            cws_error_wrap(err, "the volume \"%s\"", folder->name);
    }
    for (size_t i = 0; status == CWS_OK && i < options->mount_count; i++) {
        int lent = options->mounts[i].lent;
        if (lent && (status = add_give(box, fcntl(lent, F_DUPFD_CLOEXEC, 0))) != CWS_OK)
            cws_error_set(err, status, "no descriptor is left for volumes");
    }
    return status;
}

enum cws_status cwsd_volumes_init(struct cwsd_box *box, const struct cwsd_box_options *options,
                                  uint64_t limit, struct cws_error *err)
{
    uint64_t share;
    enum cws_status status = CWS_OK;
    if (find_share(options, limit, &share, err) != CWS_OK)
        return err->status;
    if (options->volume_count)
        status = add_volumes(box, options, share);
    if (status == CWS_OK && options->mount_count + options->folder_count &&
        add_gives(box, options, err) != CWS_OK)
        return err->status;
    if (status == CWS_OK && options->lend_count) {
        box->lent = cws_calloc(options->lend_count, sizeof(*box->lent));
        status = box->lent ? CWS_OK : CWS_NO_MEMORY;
        box->lend_count = box->lent ? options->lend_count : 0;
    }
    if (status == CWS_OK)
        return CWS_OK;
    return cws_error_set(err, status, "no memory or no descriptor is left for volumes");
}

void cwsd_volumes_done(struct cwsd_box *box)
{
    for (size_t i = 0; i < box->volume_count; i++) {
        if (box->volumes[i].fd >= 0)
            close(box->volumes[i].fd);
        cws_free(box->volumes[i].name);
    }
    for (size_t i = 0; i < box->lent_reported; i++)
        close(box->lent[i]);
    for (size_t i = 0; i < box->give_count; i++)
        cwsd_request_done(&box->gives[i]);
    cws_free(box->volumes);
    cws_free(box->lent);
    cws_free(box->gives);
}

void cwsd_volumes_give(struct cwsd_box *box,
                       void (*refused)(struct cwsd_request *request, const struct cws_error *err))
{
    for (size_t i = 0; i < box->give_count; i++) {
        box->gives[i].refused = refused;
        cwsd_line_send(&box->line, &box->gives[i]);
    }
}

static void volume_path(char path[CWSD_VOLUME_PATH], const char *name)
{
    snprintf(path, CWSD_VOLUME_PATH, CWSI_VOLUMES "%s", name);
}

/* Of a volume of this box; `path` NULL: for another box. */
static void add_mount(struct cwsd_script *script, const struct cwsd_volume_mount *mount,
                      const char *path)
{
    char source[CWSD_VOLUME_PATH];
    volume_path(source, mount->volume);
    cwsd_script_mount_volume(script, path, source, mount->sub_path, mount->read_only);
}

void cwsd_volumes_add_steps(const struct cwsd_box *box, const struct cwsd_box_options *options,
                            struct cwsd_script *script)
{
    char path[CWSD_VOLUME_PATH], limits[100];
    for (size_t i = 0; i < box->volume_count; i++) {
        uint64_t bytes = box->volumes[i].bytes;
        uint64_t files = bytes / BYTES_A_FILE;
        snprintf(limits, sizeof(limits), "mode=0777,size=%llu,nr_inodes=%llu",
                 (unsigned long long)bytes,
                 (unsigned long long)(files < MIN_FILES ? MIN_FILES : files));
        volume_path(path, box->volumes[i].name);
        cwsd_script_add(script, CWSI_STEP_VOLUME, 0, path, limits);
    }
    for (size_t i = 0; i < options->folder_count; i++) {
        volume_path(path, options->folders[i].name);
        cwsd_script_add(script, CWSI_STEP_ADOPT, 0, path, NULL);
    }
    if (options->hold_volumes)
        cwsd_script_add(script, CWSI_STEP_AWAIT, 0, CWSI_VOLUMES, NULL);
    for (size_t i = 0; i < options->lend_count; i++)
        add_mount(script, &options->lends[i], NULL);
    for (size_t i = 0; i < options->mount_count; i++) {
        const struct cwsd_volume_mount *mount = &options->mounts[i];
        if (mount->lent)
            cwsd_script_add(script, CWSI_STEP_TAKE, 0, mount->path, NULL);
        else
            add_mount(script, mount, mount->path);
    }
}

bool cwsd_volumes_are_due(const struct cwsd_box *box)
{
    return box->volumes_reported < box->volume_count || box->lent_reported < box->lend_count;
}

bool cwsd_volumes_take(struct cwsd_box *box, const struct cwsi_report *report, int fd)
{
    if (fd < 0 || box->state != CWSD_BOX_CREATING || !box->init.busy || !box->setup.packet.op ||
        report->id != box->volumes_reported + box->lent_reported || !cwsd_volumes_are_due(box))
        return false;
    if (box->volumes_reported < box->volume_count)
        box->volumes[box->volumes_reported++].fd = fd;
    else
        box->lent[box->lent_reported++] = fd;
    return true;
}
