/* What holds for a program of the host that serves one sandbox. */
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/signal.h>

#include "init.h"

/* Each connection of the sandbox is a descriptor and two buffers. */
#define MOST_FILES  1024
#define MOST_MEMORY (1ull << 30)

int helper_confine(long parent)
{
    long rc = SYS5(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (rc == 0 && SYS0(getppid) != parent)
        rc = -ESRCH;
    /* A program with rights of its own would outlive the parent, and have them. */
    if (rc == 0)
        rc = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (rc == 0)
        rc = guard_limit(RLIMIT_NOFILE, MOST_FILES, MOST_FILES);
    if (rc == 0)
        rc = guard_limit(RLIMIT_AS, MOST_MEMORY, MOST_MEMORY);
    if (rc == 0)
        rc = guard_limit(RLIMIT_FSIZE, 0, 0);
    if (rc == 0)
        rc = guard_limit(RLIMIT_CORE, 0, 0);
    return (int)rc;
}
