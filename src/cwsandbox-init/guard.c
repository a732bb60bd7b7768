/* What commands must not have. */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/resource.h>

#include "init.h"

#define BIT(cap) (1ull << (cap))

/* What a package manager or a server expects of root, all of it confined to the sandbox's user
 * namespace. */
#define KEPT_CAPABILITIES \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) | \
     BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT))

/* What the kernel starts with; the daemon may have raised its own. */
#define SOFT_OPEN_FILES 1024

/* More than the daemon's own score, whatever that is. */
#define OOM_RAISE 500
#define OOM_MAX   1000

int guard_limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit64 limits;
    long rc = SYS4(prlimit64, 0, resource, NULL, &limits);
    if (rc != 0)
        return (int)rc;
    if (limits.rlim_max > hard)
        limits.rlim_max = hard;
    limits.rlim_cur = limits.rlim_max < soft ? limits.rlim_max : soft;
    return (int)SYS4(prlimit64, 0, resource, &limits, NULL);
}

void guard_limits(void)
{
    guard_limit(RLIMIT_NOFILE, SOFT_OPEN_FILES, RLIM64_INFINITY);
    /* A core pattern with a pipe would hand the dump to a program of the host. */
    guard_limit(RLIMIT_CORE, 0, 0);
    SYS1(umask, 022);
}

void guard_oom(void)
{
    static const char path[] = "/proc/self/oom_score_adj";
    char text[16] = "";
    long score = 0;
    /* Where no namespace is our own, this file is root's for who cannot be traced. Nobody is here
     * yet who would. */
    SYS5(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    long fd = SYS4(openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    SYS5(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (fd < 0)
        return;
    long len = SYS4(pread64, fd, text, sizeof(text) - 1, 0);
    for (long i = text[0] == '-'; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        score = score * 10 + (text[i] - '0');
    score = (text[0] == '-' ? -score : score) + OOM_RAISE;
    score = score > OOM_MAX ? OOM_MAX : score;
    text[0] = '\0';
    text_append(text, sizeof(text), score < 0 ? "-" : "");
    text_append_number(text, sizeof(text), (unsigned long)(score < 0 ? -score : score));
    SYS3(write, fd, text, text_len(text));
    SYS1(close, fd);
}

int guard_drop_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    long rc = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (rc == 0)
        rc = SYS5(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int cap = 0; rc == 0; cap++) {
        if (cap < 64 && KEPT_CAPABILITIES & BIT(cap))
            continue;
        rc = SYS5(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
        if (rc == -EINVAL) { /* past the last one */
            rc = 0;
            break;
        }
    }
    /* Where a security module refuses that, no_new_privs still holds: a program never gains what we
     * lack. */
    if (rc == -EPERM)
        rc = 0;
    if (rc == 0)
        rc = SYS2(capget, &header, data);
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(KEPT_CAPABILITIES >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (rc == 0)
        rc = SYS2(capset, &header, data);
    return (int)rc;
}
