/* The fields of a host, for the files that make boxes on it and for probe.c, which fills them. */
#pragma once

#include "box/host.h"
#include "box/layout.h"
#include "host/limits.h"
#include "host/users.h"

/* What a box without isolation has to say to whoever wants one. */
#define CWSD_NO_VOLUMES "there are no volumes with --isolation=none"

struct cwsd_host {
    enum cwsd_isolation isolation;
    char *bwrap; /* NULL with CWSD_ISOLATION_NONE */
    char *init_path;
    struct cwsd_users *users; /* NULL: sandboxes run as the daemon's user */
    int init_fd; /* with users: a copy of the init that all of them can execute; otherwise -1 */
    struct cwsd_limits limits; /* of each sandbox */
    enum cwsd_process_count process_count;
    bool etc_apart;            /* as in cwsd_layout_options */
    struct cwsd_layout layout; /* with CWSD_ISOLATION_NONE only its environment */
    char description[1024];
};

/* Fills in everything that can be known without running anything. With allow_none the host is then
 * complete. CWS_SYSTEM, CWS_INVALID and CWS_NO_MEMORY as in probe.h. */
enum cws_status cwsd_host_new(const struct cwsd_host_options *options, struct cwsd_host **out_host,
                              struct cws_error *err) CWS_MUST_CHECK;

/* Makes each sandbox run as a user of its own. `users` stays NULL if such users cannot be had.
 * CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_host_add_users(struct cwsd_host *host, struct cws_error *err) CWS_MUST_CHECK;
void cwsd_host_drop_users(struct cwsd_host *host);

/* Finds out how the kernel counts the sandboxes' processes, given the users that the host has. */
void cwsd_host_count_processes(struct cwsd_host *host);

/* Makes the layout for this isolation, replacing the previous one. `read_only` as in
 * cwsd_layout_options. Errors as cwsd_layout_init. */
enum cws_status cwsd_host_plan(struct cwsd_host *host, enum cwsd_isolation isolation,
                               unsigned read_only, struct cws_error *err) CWS_MUST_CHECK;

/* Sets the line for a person. `no_overlay` says why there is no overlay, or is "". `why_root` says
 * why sandboxes run as root, or is NULL if they do not. */
void cwsd_host_set_description(struct cwsd_host *host, unsigned read_only, const char *no_overlay,
                               const char *why_root);
