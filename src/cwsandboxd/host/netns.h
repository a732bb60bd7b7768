/*
 * A network namespace that several children share. The first child to start makes it; the socket
 * here brings it to the others (cwsandbox-init, network.c). The daemon is never in it, and holds
 * nothing of it but what is on its way to children that have not come for it. Loop thread only.
 */
#pragma once

#include "base/status.h"

struct cwsd_netns {
    int make;        /* the first child's end; -1: it has it */
    int join;        /* the others' */
    unsigned others; /* how many there will be */
};

/* For so many children. CWS_SYSTEM; there is nothing to free then. */
enum cws_status cwsd_netns_init(struct cwsd_netns *netns, unsigned children,
                                struct cws_error *err) CWS_MUST_CHECK;
void cwsd_netns_done(struct cwsd_netns *netns);

/* What the next child gets as CWSI_NETWORK. *out_makes: it is the first one. */
int cwsd_netns_next(const struct cwsd_netns *netns, bool *out_makes);
/* It has been started, and has a copy. */
void cwsd_netns_started(struct cwsd_netns *netns);
