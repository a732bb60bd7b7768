/*
 * One sandbox on this host: a bubblewrap container whose PID 1 is cwsandbox-init, and the commands
 * in it.
 *
 * Loop thread only. What comes out of a box (its init's messages, its output) is untrusted input. A
 * box ends with everything in it: no process, mount, cgroup or file is left.
 */
#pragma once

#include "base/list.h"
#include "base/status.h"
#include "box/string_list.h"
#include "io/loop.h"

struct cwsd_box;
struct cwsd_host; /* host.h: which isolation this host gives, paths of bwrap and cwsandbox-init */

struct cwsd_file {
    const char *path; /* absolute, inside the box */
    const uint8_t *data;
    size_t len;
};

struct cwsd_box_options {
    const char *id; /* for names and messages */
    /* Main command, argv. None: the box idles, without a process of its own for that, until a
     * signal ends it: TERM with exit code 0. */
    struct cwsd_string_list command;
    struct cwsd_string_list environment; /* "NAME=value", on top of the clean standard one */
    const char *working_dir;             /* made when it is missing; NULL: "/" */
    const struct cwsd_file *files;       /* there before the main command starts, read-only */
    size_t file_count;
};

struct cwsd_box_events {
    /* The container is set up and its main command has been started. */
    void (*on_running)(void *ctx);
    /* The main command ended by itself or by cwsd_box_stop: `exit_code` is 0..255, 128 + N for
     * signal N. Its execs end with it; what they wrote still arrives, perhaps after on_gone. The
     * container is going down; on_gone follows. */
    void (*on_exited)(void *ctx, int exit_code);
    /* Last event: nothing of the box is left on the host. `err` is not NULL when it never ran or
     * broke: its text names the layer (bubblewrap, user namespaces, the command); CWS_INVALID: the
     * main command cannot be executed; CWS_CANCELLED: it was stopped before it ran. The box must be
     * freed after it. */
    void (*on_gone)(void *ctx, const struct cws_error *err);
};

/* Starts a box; copies the options. CWS_OK: events follow, never from inside this call.
 * CWS_INVALID: options that this host's isolation cannot fulfil; CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_box_new(struct cws_loop *loop, const struct cwsd_host *host,
                             const struct cwsd_box_options *options,
                             const struct cwsd_box_events *events, void *ctx,
                             struct cwsd_box **out_box, struct cws_error *err) CWS_MUST_CHECK;

/* TERM to the main command, KILL to everything after `grace_ms` (0: at once). May be called again
 * with a shorter grace. */
void cwsd_box_stop(struct cwsd_box *box, uint64_t grace_ms);

/* Only after on_gone. NULL is allowed. */
void cwsd_box_free(struct cwsd_box *box);
