/*
 * What holds for a program of the host that serves one sandbox, and reads what that sends. Whoever
 * takes such a program over must not get at what else the daemon's user has: files, and programs
 * that listen on Unix sockets. It makes its own connections, as the sandbox's network is for.
 */
#include <linux/audit.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
#include <linux/signal.h>

#include "init.h"

/* Each connection of the sandbox is a descriptor and two buffers. */
#define MOST_FILES  1024
#define MOST_MEMORY (1ull << 30)

static long set_limits(void)
{
    long rc = guard_limit(RLIMIT_NOFILE, MOST_FILES, MOST_FILES);
    if (rc == 0)
        rc = guard_limit(RLIMIT_AS, MOST_MEMORY, MOST_MEMORY);
    if (rc == 0)
        rc = guard_limit(RLIMIT_FSIZE, 0, 0);
    return rc == 0 ? guard_limit(RLIMIT_CORE, 0, 0) : rc;
}

/* ---- files ---------------------------------------------------------------------------------- */

#define READ    (LANDLOCK_ACCESS_FS_READ_FILE)
#define PROGRAM (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define FOLDER  (PROGRAM | LANDLOCK_ACCESS_FS_READ_DIR)
#define DEVICE  (READ | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* Of the first version, without what later ones have added. */
#define ALL (LANDLOCK_ACCESS_FS_MAKE_SYM | (LANDLOCK_ACCESS_FS_MAKE_SYM - 1))

/* What a program needs to be loaded, and a device for the sandbox's packets. */
static const struct {
    const char *path;
    uint64_t access;
} needed[] = {
    {"/usr", FOLDER},       {"/lib", FOLDER},         {"/lib64", FOLDER},
    {"/nix/store", FOLDER}, {"/gnu/store", FOLDER},   {"/etc/ld.so.cache", READ},
    {"/dev/urandom", READ}, {"/dev/net/tun", DEVICE},
};

/* What is not there needs no rule. */
static void allow(long rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    long fd = SYS4(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    rule.parent_fd = (int)fd;
    SYS4(landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    SYS1(close, fd);
}

/* Where the kernel has no Landlock, all stays as it is. */
static void close_files(const char *program)
{
    const uint64_t handled = ALL; /* the size says that nothing else is */
    long rules = SYS3(landlock_create_ruleset, &handled, sizeof(handled), 0);
    if (rules < 0)
        return;
    allow(rules, program, PROGRAM);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        allow(rules, needed[i].path, needed[i].access);
    SYS2(landlock_restrict_self, rules, 0);
    SYS1(close, rules);
}

/* ---- system calls --------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define OWN_ARCH  AUDIT_ARCH_X86_64
#define LAST_CALL 0x3fffffffu /* above: the x32 calls */
#elif defined(__aarch64__)
#define OWN_ARCH  AUDIT_ARCH_AARCH64
#define LAST_CALL 0xffffffffu
#endif

#define UNIX_FAMILY 1

/* Everywhere, but not in the headers of older kernels. */
#define FCHMODAT2     452
#define SETXATTRAT    463
#define REMOVEXATTRAT 466

/* Goes on behind itself for other calls than this one. */
#define REFUSE(call) \
    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (call)}, \
    { \
        BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM \
    }

/* What reaches the user's files and processes past Landlock, and what would go past this filter. A
 * pair of Unix sockets leads nowhere. */
static long close_calls(void)
{
    static const struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch)},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, OWN_ARCH},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST_CALL},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        REFUSE(__NR_kill),
        REFUSE(__NR_tkill),
        REFUSE(__NR_tgkill),
        REFUSE(__NR_rt_sigqueueinfo),
        REFUSE(__NR_rt_tgsigqueueinfo),
        REFUSE(__NR_io_uring_setup),
        REFUSE(__NR_truncate),
        REFUSE(__NR_fchmodat),
        REFUSE(FCHMODAT2),
        REFUSE(__NR_fchownat),
        REFUSE(__NR_utimensat),
        REFUSE(__NR_setxattr),
        REFUSE(__NR_lsetxattr),
        REFUSE(SETXATTRAT),
        REFUSE(__NR_removexattr),
        REFUSE(__NR_lremovexattr),
        REFUSE(REMOVEXATTRAT),
#if defined(__NR_chmod) /* the older calls, which newer architectures never had */
        REFUSE(__NR_chmod),
        REFUSE(__NR_chown),
        REFUSE(__NR_lchown),
        REFUSE(__NR_utime),
        REFUSE(__NR_utimes),
        REFUSE(__NR_futimesat),
#endif
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, __NR_socket},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[0])},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, UNIX_FAMILY},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EAFNOSUPPORT},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const struct sock_fprog whole = {.len = sizeof(code) / sizeof(code[0]),
                                     .filter = (struct sock_filter *)code};
    return SYS5(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0);
}

int helper_confine(long parent, const char *program)
{
    long rc = SYS5(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (rc == 0 && SYS0(getppid) != parent)
        rc = -ESRCH;
    /* A program with rights of its own would outlive the parent, and have them. */
    if (rc == 0)
        rc = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    guard_oom();
    if (rc == 0)
        rc = set_limits();
    if (rc == 0)
        close_files(program);
    return rc == 0 ? (int)close_calls() : (int)rc;
}
