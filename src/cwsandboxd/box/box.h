/*
 * One sandbox on this host: a bubblewrap container whose PID 1 is cwsandbox-init, and the commands
 * in it. Loop thread only.
 *
 * Whatever comes out of a box (its init's messages, its output) is untrusted input. When a box
 * ends, everything in it ends: no process, mount, cgroup or file is left.
 */
#pragma once

#include <sys/types.h>

#include "base/list.h"
#include "base/status.h"
#include "box/string_list.h"
#include "cwsandbox-init/protocol.h"
#include "io/loop.h"

struct cwsd_box;
struct cwsd_host; /* host.h */
struct cwsd_room; /* room.h */

struct cwsd_file {
    const char *path; /* absolute, inside the box */
    const uint8_t *data;
    size_t len;
    uint32_t mode;
};

/* A scratch volume: a file system in memory with a size of its own. */
struct cwsd_volume {
    const char *name;
    uint64_t bytes; /* 0: an equal share of what the volumes with a size leave of the limit */
};

/* A volume that is a directory of the host. */
struct cwsd_folder {
    const char *name;
    int fd;         /* the caller's */
    bool read_only; /* whatever its mounts say */
};

/* Where a volume is seen. */
struct cwsd_volume_mount {
    const char *volume;
    const char *path;     /* absolute; made if missing. A folder comes before what is in it */
    const char *sub_path; /* of the volume, made if missing, without links; NULL: all of it */
    bool read_only;
    int lent; /* 0: it is a volume of this box. Else what cwsd_box_lent gave of another box */
};

struct cwsd_box_options {
    const char *id; /* for names and messages */
    /* What it has in common with other boxes; NULL: nothing. It must outlive the box. */
    struct cwsd_room *room;
    struct cwsd_string_list host_names; /* that stand for the loopback address */
    /* The main command. If empty, the box idles until a signal ends it (SIGTERM: exit code 0); that
     * takes no process of its own. */
    struct cwsd_string_list command;
    /* A pipe's end for the main command's stdout and stderr, both in one, so that what it writes
     * stays in order. It remains the caller's. 0: the output is discarded. */
    int output_fd;
    struct cwsd_string_list environment; /* "NAME=value", added to the standard environment */
    const char *working_dir;             /* created if missing; NULL: "/" */
    const struct cwsd_file *files;       /* read-only; in place before the main command starts */
    size_t file_count;
    const struct cwsd_volume *volumes;
    size_t volume_count;
    const struct cwsd_folder *folders;
    size_t folder_count;
    const struct cwsd_volume_mount *mounts;
    size_t mount_count;
    bool hold_volumes; /* on_volumes and then cwsd_box_go come before they are mounted */
    const struct cwsd_volume_mount *lends; /* of this box's volumes, for other boxes of its room */
    size_t lend_count;
};

/* The commands in a box, without the main one. */
struct cwsd_box_execs {
    uint32_t running;
    uint64_t started; /* so far */
};

struct cwsd_box_events {
    /* The container is set up and its main command has been started. */
    void (*on_running)(void *ctx);
    /* The main command has ended, by itself or because of cwsd_box_stop. `exit_code` is 0..255; 128
     * + N for signal N. Execs end with it; what they wrote still arrives, perhaps after on_gone.
     * The container is going down, and on_gone follows. */
    void (*on_exited)(void *ctx, int exit_code);
    /* With `hold_volumes`: all volumes are there (cwsd_box_volume), and still empty. No time limit
     * runs until cwsd_box_go. */
    void (*on_volumes)(void *ctx);
    /* With `lends`: they are there (cwsd_box_lent). */
    void (*on_lent)(void *ctx);
    /* The answer to cwsd_box_ask_usage. */
    void (*on_usage)(void *ctx, const struct cwsi_usage *usage);
    /* The last event: nothing of the box is left on the host. `err` is not NULL if the box never
     * ran or broke; its text names the layer (bubblewrap, user namespaces, the command).
     * CWS_INVALID: the main command cannot be executed. CWS_CANCELLED: the box was stopped before
     * it ran. Free the box after this event. */
    void (*on_gone)(void *ctx, const struct cws_error *err);
};

/* Starts a box. Copies the options. After CWS_OK events follow, never from inside this call.
 * CWS_INVALID: this host's isolation cannot provide what the options ask for. CWS_SYSTEM,
 * CWS_NO_MEMORY. */
enum cws_status cwsd_box_new(struct cws_loop *loop, const struct cwsd_host *host,
                             const struct cwsd_box_options *options,
                             const struct cwsd_box_events *events, void *ctx,
                             struct cwsd_box **out_box, struct cws_error *err) CWS_MUST_CHECK;

/* Sends SIGTERM to the main command, and SIGKILL to everything after `grace_ms` (0: at once). May
 * be called again with a shorter grace period. */
void cwsd_box_stop(struct cwsd_box *box, uint64_t grace_ms);

/* The root directory of a volume, which stays the box's. It can be read until the box is freed,
 * even after everything in it has ended. -1: it has no such volume. volume.c. */
int cwsd_box_volume(const struct cwsd_box *box, const char *name);

/* A mount for another box, one for each of `lends`, which stays this box's. volume.c. */
int cwsd_box_lent(const struct cwsd_box *box, size_t i);

/* Whether boxes can have the directory as a volume. CWS_SYSTEM says why not. *out_owner: whose its
 * files must be; 0: the daemon's. folder.c. */
enum cws_status cwsd_folder_try(const struct cwsd_host *host, int fd, uid_t *out_owner,
                                struct cws_error *err) CWS_MUST_CHECK;

/* The user on the host as whom it runs; 0: the daemon's. volume.c. */
uid_t cwsd_box_user(const struct cwsd_box *box);

/* After on_volumes: the box goes on to mount its volumes, and to run. Harmless if it is ending. */
void cwsd_box_go(struct cwsd_box *box);

struct cwsd_box_execs cwsd_box_execs(const struct cwsd_box *box);

/* Asks what the box's processes use. True: on_usage follows, unless the box ends before. That takes
 * the box's own processes as long as they let it. False: the box does not run, it is being asked
 * already, or its isolation does not tell its processes from others. */
bool cwsd_box_ask_usage(struct cwsd_box *box);

/* Only after on_gone. NULL is allowed. */
void cwsd_box_free(struct cwsd_box *box);
