/*
 * What this host offers for isolation: what boxes are made of. Found out once, at start, by
 * probe.h.
 */
#pragma once

#include "base/status.h"
#include "box/isolation.h"
#include "values/limits.h"

struct cwsd_host; /* paths of bwrap and the init, isolation, what of the host is in sight */

struct cwsd_host_options {
    bool allow_none;           /* --isolation=none */
    const char *bwrap;         /* NULL: found on PATH */
    const char *init_path;     /* NULL: next to the daemon's own binary */
    const char *state_dir;     /* the daemon's own private directory, or NULL */
    struct cwsd_limits limits; /* of each sandbox; 0: as suits this host */
};

/* After the last box is freed. NULL is allowed. */
void cwsd_host_free(struct cwsd_host *host);
enum cwsd_isolation cwsd_host_isolation(const struct cwsd_host *host);
/* One line for a person: which isolation, what it includes. */
const char *cwsd_host_describe(const struct cwsd_host *host);
