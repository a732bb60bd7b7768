/*
 * The means of isolation that this host offers, from which boxes are made. Determined once, at
 * start, by probe.h. Immutable after that.
 */
#pragma once

#include "base/status.h"
#include "box/isolation.h"
#include "values/limits.h"

struct cwsd_host; /* isolation, paths of bwrap and the init, what boxes see of the host */

struct cwsd_host_options {
    bool allow_none;           /* --isolation=none */
    const char *bwrap;         /* NULL: found on PATH */
    const char *init_path;     /* NULL: beside the daemon's own binary */
    const char *state_dir;     /* the daemon's own private directory, or NULL */
    struct cwsd_limits limits; /* of each sandbox; 0: whatever suits this host */
};

/* After the last box is freed. NULL is allowed. */
void cwsd_host_free(struct cwsd_host *host);
enum cwsd_isolation cwsd_host_isolation(const struct cwsd_host *host);
/* One line for a person: which isolation, and what it includes. The host owns the text. */
const char *cwsd_host_describe(const struct cwsd_host *host);
/* How many bytes the scratch volumes of a sandbox may have together. */
uint64_t cwsd_host_volume_bytes(const struct cwsd_host *host);
/* The path of cwsandbox-init. The host owns it. */
const char *cwsd_host_init_path(const struct cwsd_host *host);
