#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/rights.h"
#include "parts.h"

/* More than pack.c and libarchive map; a hostile tree could make them grow. Sanitizers map far
 * more. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOST_MEMORY RLIM_INFINITY
#else
#define MOST_MEMORY ((rlim_t)4 << 30)
#endif

/* What root has in a sandbox over the files there. */
#define KEPT \
    (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | \
     1u << CAP_FSETID)

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* A user namespace in which the one user there is is root. Whatever belongs to that user can be
 * read and changed then, in file systems of other user namespaces, too. */
static bool enter_namespaces(void)
{
    char uid_map[40], gid_map[40];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return false;
    /* The files of a process that changed its user are root's until then. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", uid_map) && write_file("/proc/self/gid_map", gid_map);
}

static bool keep_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = KEPT, .permitted = KEPT}};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, data) == 0;
}

/* Another user's process, or one with other capabilities, has lost the setting. */
static bool end_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
        return true;
    errno = ESRCH;
    return false;
}

bool confine(uid_t user, pid_t parent, int root, struct complaint *complaint)
{
    const char *what = "becoming the sandbox's user";
    /* Rather this process than the daemon. No matter if it fails. */
    write_file("/proc/self/oom_score_adj", "500");
    bool done = user == 0 || rights_become(user);
    if (done) {
        what = "making a user namespace for the archive";
        done = enter_namespaces();
    }
    if (done) {
        what = "entering the volume";
        done = fchdir(root) == 0 && chroot(".") == 0;
    }
    if (done) {
        what = "giving up rights";
        done = keep_capabilities() && rights_limit(RLIMIT_AS, MOST_MEMORY) &&
               rights_limit(RLIMIT_CORE, 0) && syscall(SYS_close_range, 3, ~0u, 0) == 0;
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    umask(0);
    if (done) {
        what = "looking after the first process";
        done = end_with(parent);
    }
    if (done) {
        what = "filtering system calls";
        done = rights_limit(RLIMIT_MEMLOCK, 0) && filter_calls();
    }
    if (!done)
        complaint_set(complaint, errno, "%s: %s", what, strerror(errno));
    return done;
}
