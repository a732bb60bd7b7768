/* How sandboxes' networks lead to others. */
#pragma once

#include "base/status.h"

enum cwsd_egress_way {
    CWSD_EGRESS_OFF,
    CWSD_EGRESS_AUTO,        /* the best that this host allows */
    CWSD_EGRESS_NFTABLES,    /* a pair of virtual devices, and the host as the router */
    CWSD_EGRESS_SLIRP4NETNS, /* a user-mode network stack, whose connections are the user's */
};

/* The value of --egress. CWS_INVALID. */
enum cws_status cwsd_egress_way_parse(const char *text, enum cwsd_egress_way *out_way,
                                      struct cws_error *err) CWS_MUST_CHECK;
const char *cwsd_egress_way_name(enum cwsd_egress_way way);
