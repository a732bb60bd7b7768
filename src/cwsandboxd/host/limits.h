/*
 * Which limits a sandbox can have on this host, without any privilege.
 */
#pragma once

#include <sys/types.h>

#include "values/limits.h"

/* Puts what suits this host in the place of what is 0: nobody asked for anything else. An
 * `open_files` of more than half of what this process may have becomes that: the kernel counts
 * descriptors on their way in sockets for each user, and refuses the daemon its own ones when a
 * sandbox of the same user has as many there as the daemon may have. */
void cwsd_limits_complete(struct cwsd_limits *limits);

enum cwsd_process_count {
    CWSD_COUNT_OWN,    /* the kernel counts the processes of each sandbox for itself */
    CWSD_COUNT_SHARED, /* it counts them together with all others of the user (before Linux 5.14) */
    CWSD_COUNT_NONE,   /* it does not count them: a sandbox's root is root, who is exempt */
};

/* How RLIMIT_NPROC works in a user namespace of `user`'s (0: of this process's user), tried in a
 * child process. CWSD_COUNT_SHARED where it cannot be tried. */
enum cwsd_process_count cwsd_limits_try_processes(uid_t user);
