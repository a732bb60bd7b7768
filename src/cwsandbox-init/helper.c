/*
 * What holds for a program of the host that serves one sandbox, and reads what that sends. Whoever
 * takes such a program over must not get at what else the daemon's user has: files, and programs
 * that listen on Unix sockets. It makes its own connections, as the sandbox's network is for.
 */
#include <linux/fcntl.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/signal.h>

#include "confine/filter.h"
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

#define UNIX_FAMILY 1

/* Everywhere, but not in the headers of older kernels. */
#define FCHMODAT2     452
#define SETXATTRAT    463
#define REMOVEXATTRAT 466

/* What reaches the user's files and processes past Landlock. */
static const uint32_t refused[] = {
    __NR_kill,
    __NR_tkill,
    __NR_tgkill,
    __NR_rt_sigqueueinfo,
    __NR_rt_tgsigqueueinfo,
    __NR_io_uring_setup,
    __NR_truncate,
    __NR_fchmodat,
    FCHMODAT2,
    __NR_fchownat,
    __NR_utimensat,
    __NR_setxattr,
    __NR_lsetxattr,
    SETXATTRAT,
    __NR_removexattr,
    __NR_lremovexattr,
    REMOVEXATTRAT,
#if defined(__NR_chmod) /* the older calls, which newer architectures never had */
    __NR_chmod,
    __NR_chown,
    __NR_lchown,
    __NR_utime,
    __NR_utimes,
    __NR_futimesat,
#endif
};

#define REFUSED (sizeof(refused) / sizeof(refused[0]))
#define ROOM    (2 * REFUSED + 16)

/* A pair of Unix sockets leads nowhere. */
static long close_calls(void)
{
    struct sock_filter code[ROOM];
    struct filter filter = {.code = code, .room = ROOM};
    filter_start(&filter, SECCOMP_RET_ERRNO | ENOSYS);
    for (size_t i = 0; i < REFUSED; i++)
        filter_answer_if(&filter, refused[i], SECCOMP_RET_ERRNO | EPERM);
    filter_add(&filter, BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3);
    filter_load(&filter, FILTER_ARGUMENT(0));
    filter_answer_if(&filter, UNIX_FAMILY, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    filter_answer(&filter, SECCOMP_RET_ALLOW);
    const struct sock_fprog whole = filter_program(&filter);
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
