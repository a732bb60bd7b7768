/*
 * What the daemon's small programs give up before they see a stranger's bytes.
 *
 * This file stands alone, like filter.h. Functions return false with errno set.
 */
#pragma once

#include <grp.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

/* Becomes the user, who is in the group of the same number and in no other. Needs root. */
static inline bool rights_become(uid_t user)
{
    return setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
           setresuid(user, user, user) == 0;
}

/* Limits a resource for good (RLIMIT_...). A hard limit that is lower already stays: only root may
 * raise it. */
static inline bool rights_limit(int resource, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return false;
    limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) == 0;
}
