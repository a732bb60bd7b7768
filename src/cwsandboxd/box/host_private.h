/* What a host is to those who make boxes on it, and to probe.c, which finds out. */
#pragma once

#include "box/host.h"
#include "box/layout.h"
#include "host/limits.h"
#include "host/users.h"

struct cwsd_host {
    enum cwsd_isolation isolation;
    char *bwrap; /* NULL with CWSD_ISOLATION_NONE */
    char *init_path;
    struct cwsd_users *users; /* NULL: sandboxes run as the daemon's user */
    int init_fd; /* with users: a copy of the init that all of them can execute; else -1 */
    struct cwsd_limits limits; /* of each sandbox */
    enum cwsd_process_count process_count;
    bool etc_apart;            /* as in cwsd_layout_options */
    struct cwsd_layout layout; /* with CWSD_ISOLATION_NONE only its environment */
    char description[1024];
};

/* All that can be known without trying: with allow_none the host is complete. CWS_SYSTEM,
 * CWS_INVALID, CWS_NO_MEMORY as in probe.h. */
enum cws_status cwsd_host_new(const struct cwsd_host_options *options, struct cwsd_host **out_host,
                              struct cws_error *err) CWS_MUST_CHECK;

/* Its sandboxes become users of their own; `users` stays NULL where there are none. CWS_SYSTEM,
 * CWS_NO_MEMORY. */
enum cws_status cwsd_host_add_users(struct cwsd_host *host, struct cws_error *err) CWS_MUST_CHECK;
void cwsd_host_drop_users(struct cwsd_host *host);

/* Finds out how the kernel counts the processes of its sandboxes, with the users that it has. */
void cwsd_host_count_processes(struct cwsd_host *host);

/* Makes the layout for an isolation anew. `read_only` as in cwsd_layout_options. Errors of
 * cwsd_layout_init. */
enum cws_status cwsd_host_plan(struct cwsd_host *host, enum cwsd_isolation isolation,
                               unsigned read_only, struct cws_error *err) CWS_MUST_CHECK;

/* The line for a person. `no_overlay` is why there is none, or ""; `why_root` is why sandboxes are
 * root, or NULL when they are not. */
void cwsd_host_set_description(struct cwsd_host *host, unsigned read_only, const char *no_overlay,
                               const char *why_root);
