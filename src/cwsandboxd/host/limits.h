/*
 * The limits that a sandbox can have on this host without any privilege.
 */
#pragma once

#include <sys/types.h>

#include "values/limits.h"

/* Replaces each limit that is 0 (not asked for) by one that suits this host. Also lowers
 * `open_files` to half of what this process may have. The reason: the kernel counts descriptors in
 * flight on sockets per user. If a sandbox of the daemon's user had as many in flight as the daemon
 * may have open, the kernel would refuse to pass the daemon's own. */
void cwsd_limits_complete(struct cwsd_limits *limits);

enum cwsd_process_count {
    CWSD_COUNT_OWN,    /* the kernel counts each sandbox's processes separately */
    CWSD_COUNT_SHARED, /* it counts all processes of the user together (before Linux 5.14) */
    CWSD_COUNT_NONE,   /* it does not count them: a sandbox's root is the host's root, who is
                        * exempt */
};

/* How RLIMIT_NPROC works in a user namespace made by `user` (0: by this process's user). Tries it
 * in a child process, and blocks until that ends. CWSD_COUNT_SHARED if it cannot be tried. */
enum cwsd_process_count cwsd_limits_try_processes(uid_t user);
