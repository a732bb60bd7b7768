/*
 * What this host offers for isolation, found out once at start by trying it.
 */
#pragma once

#include "base/status.h"
#include "box/isolation.h"

struct cwsd_host; /* paths of bwrap and the init, isolation, what of the host is in sight */

struct cwsd_host_options {
    bool allow_none;       /* --isolation=none */
    const char *bwrap;     /* NULL: found on PATH */
    const char *init_path; /* NULL: next to the daemon's own binary */
    const char *state_dir; /* the daemon's own private directory, or NULL */
};

/* Tries the strongest isolation first by running a probe container; blocks until it is over.
 * CWS_SYSTEM with *err naming the layer that refused (no bubblewrap, user namespaces off by which
 * sysctl, AppArmor) when none is possible; CWS_INVALID when sandboxes would see state_dir. From
 * then on the process ignores SIGPIPE and is a subreaper. */
enum cws_status cwsd_host_probe(const struct cwsd_host_options *options,
                                struct cwsd_host **out_host, struct cws_error *err) CWS_MUST_CHECK;
/* After the last box is freed. NULL is allowed. */
void cwsd_host_free(struct cwsd_host *host);
enum cwsd_isolation cwsd_host_isolation(const struct cwsd_host *host);
/* One line for a person: which isolation, what it includes. */
const char *cwsd_host_describe(const struct cwsd_host *host);
