/* What host.c and box.c share. */
#pragma once

#include "box/host.h"
#include "box/layout.h"
#include "host/users.h"

struct cwsd_host {
    enum cwsd_isolation isolation;
    char *bwrap; /* NULL with CWSD_ISOLATION_NONE */
    char *init_path;
    struct cwsd_users *users; /* NULL: sandboxes run as the daemon's user */
    int init_fd; /* with users: a copy of the init that all of them can execute; else -1 */
    struct cwsd_layout layout; /* with CWSD_ISOLATION_NONE only its environment */
    char description[720];
};

/* As cwsd_host_probe, but tries nothing stronger than `strongest`. */
enum cws_status cwsd_host_probe_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err) CWS_MUST_CHECK;
