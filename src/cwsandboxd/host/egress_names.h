/*
 * The way out by name of one sandbox: cwsandbox-egress, which answers its questions for names and
 * passes on the connections that its rules divert. Loop thread only.
 */
#pragma once

#include <sys/types.h>

#include "host/child.h"

struct cwsd_egress_names_options {
    struct cws_loop *loop;
    const char *program; /* cwsandbox-egress */
    uid_t user;          /* of the sandbox on the host; 0: the daemon's */
    bool all;            /* questions for all names are answered, not only for those granted */
    char *const *names;  /* granted: in lower case, or "*." and one */
    size_t name_count;
    int diverted, names_fd; /* its sockets, which stay the caller's */
};

struct cwsd_egress_names;

/* CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_egress_names_start(const struct cwsd_egress_names_options *options,
                                        struct cwsd_egress_names **out_names,
                                        struct cws_error *err) CWS_MUST_CHECK;
/* Ends it. If it has ended by itself, nothing leads out by name any more. NULL is allowed. */
void cwsd_egress_names_stop(struct cwsd_egress_names *names);
