/* What host.c and box.c share. */
#pragma once

#include "host.h"
#include "layout.h"

struct cwsd_host {
    enum cwsd_isolation isolation;
    char *bwrap; /* NULL with CWSD_ISOLATION_NONE */
    char *init_path;
    struct cwsd_layout layout; /* with CWSD_ISOLATION_NONE only its environment */
    char description[480];
};

/* As cwsd_host_probe, but tries nothing stronger than `strongest`. */
enum cws_status cwsd_host_probe_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err) CWS_MUST_CHECK;
