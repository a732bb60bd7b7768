/*
 * The scratch volumes of a box. Its init makes them before any command runs, and gives the daemon a
 * descriptor of each.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/box_private.h"

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

enum cws_status cwsd_volumes_init(struct cwsd_box *box, const struct cwsd_box_options *options,
                                  uint64_t limit, struct cws_error *err)
{
    uint64_t share;
    if (options->volume_count == 0)
        return CWS_OK;
    if (find_share(options, limit, &share, err) != CWS_OK)
        return err->status;
    box->volumes = cws_calloc(options->volume_count, sizeof(*box->volumes));
    if (!box->volumes)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for volumes");
    for (size_t i = 0; i < options->volume_count; i++) {
        struct cwsd_box_volume *volume = &box->volumes[i];
        const struct cwsd_volume *wanted = &options->volumes[i];
        volume->fd = -1;
        volume->bytes = wanted->bytes ? round_up(wanted->bytes) : share;
        volume->name = cws_strdup(wanted->name);
        box->volume_count++;
        if (!volume->name)
            return cws_error_set(err, CWS_NO_MEMORY, "out of memory for volumes");
    }
    return CWS_OK;
}

void cwsd_volumes_done(struct cwsd_box *box)
{
    for (size_t i = 0; i < box->volume_count; i++) {
        if (box->volumes[i].fd >= 0)
            close(box->volumes[i].fd);
        cws_free(box->volumes[i].name);
    }
    cws_free(box->volumes);
}

static void volume_path(char path[CWSD_VOLUME_PATH], const char *name)
{
    snprintf(path, CWSD_VOLUME_PATH, CWSI_VOLUMES "%s", name);
}

static void add_mount(struct cwsd_script *script, const struct cwsd_volume_mount *mount)
{
    char path[CWSD_VOLUME_PATH];
    volume_path(path, mount->volume);
    cwsd_script_mount_volume(script, mount->path, path, mount->sub_path, mount->read_only);
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
    if (options->hold_volumes)
        cwsd_script_add(script, CWSI_STEP_AWAIT, 0, CWSI_VOLUMES, NULL);
    for (size_t i = 0; i < options->mount_count; i++)
        add_mount(script, &options->mounts[i]);
}

bool cwsd_volumes_take(struct cwsd_box *box, const struct cwsi_report *report, int fd)
{
    if (fd < 0 || box->state != CWSD_BOX_CREATING || !box->init.busy || !box->setup.packet.op ||
        report->id != box->volumes_reported || report->id >= box->volume_count)
        return false;
    box->volumes[report->id].fd = fd;
    box->volumes_reported++;
    return true;
}
