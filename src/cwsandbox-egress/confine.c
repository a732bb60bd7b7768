#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* For threads that look names up, and all connections with full buffers. Sanitizers map far
 * more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOST_MEMORY RLIM_INFINITY
#else
#define MOST_MEMORY ((rlim_t)1 << 30)
#endif
#define MOST_FILES 1024

static bool become(uid_t user)
{
    return setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
           setresuid(user, user, user) == 0;
}

/* Not above what is allowed already. */
static bool set_limit(int resource, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return false;
    limit.rlim_max = limit.rlim_max < most ? limit.rlim_max : most;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) == 0;
}

bool cwse_confine(uid_t user)
{
    return (user == 0 || become(user)) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && set_limit(RLIMIT_AS, MOST_MEMORY) &&
           set_limit(RLIMIT_NOFILE, MOST_FILES) && set_limit(RLIMIT_FSIZE, 0) &&
           set_limit(RLIMIT_CORE, 0);
}
