#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine/rights.h"

/* For threads that look names up, and all connections with full buffers. Sanitizers map far
 * more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOST_MEMORY RLIM_INFINITY
#else
#define MOST_MEMORY ((rlim_t)1 << 30)
#endif
#define MOST_FILES 1024

bool cwse_confine(uid_t user)
{
    return (user == 0 || rights_become(user)) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && rights_limit(RLIMIT_AS, MOST_MEMORY) &&
           rights_limit(RLIMIT_NOFILE, MOST_FILES) && rights_limit(RLIMIT_FSIZE, 0) &&
           rights_limit(RLIMIT_CORE, 0);
}
