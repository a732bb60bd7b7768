/*
 * For tests of what others do between two system calls of a piece of the init: it runs in a child
 * with mounts and a root directory of its own, and the test acts before each call that finds
 * something by its name, makes or mounts it. What others do before any other call might as well be
 * done before the next of these.
 *
 * The child's root is `stepped_root`. It cannot use cmocka's assertions: see stepped_expect.
 */
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/wait.h>

#include "base/base.h"
#include "support/unit.h"

#define STEPPED_SKIP 77
#define STEPPED_MOST 30 /* moments in a run */

static char stepped_root[] = "/tmp/cws-init-XXXXXX";

struct stepped {
    void (*prepare)(void);                 /* before the run; NULL: nothing */
    long (*run)(void);                     /* a result as the init's functions have them */
    void (*act)(void);                     /* what others do, at one moment or two of the run */
    bool (*check)(long rc, unsigned acts); /* after it: whether it has got what it wants */
    void (*clean)(void);
};

/* What the children tell. */
static struct {
    unsigned moments; /* of the longest run so far */
    unsigned reached; /* how often a run has got what it wants */
} *stepped_told;

static struct {
    void (*act)(void); /* NULL: calls just happen */
    unsigned first, second, moments, acts;
} stepped_now;

/* In a child: it ends here if that does not hold. */
static inline void stepped_expect(bool holds, const char *text, long value)
{
    if (holds)
        return;
    dprintf(2, "%s: %ld (acted at %u and %u)\n", text, value, stepped_now.first,
            stepped_now.second);
    _exit(1);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* In the place of an argument that none of the calls has: it was stopped already. */
#define STEPPED_PASSES 0x5ca1ab1e

/* The registers of the call: its number is in siginfo. */
#if defined(__x86_64__)
static const int stepped_registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8};
#define STEPPED_RESULT                  REG_RAX
#define STEPPED_REGISTER(context, name) (context)->uc_mcontext.gregs[name]
#elif defined(__aarch64__)
static const int stepped_registers[] = {0, 1, 2, 3, 4};
#define STEPPED_RESULT                  0
#define STEPPED_REGISTER(context, name) (context)->uc_mcontext.regs[name]
#endif

static inline void stepped_on_call(int signal, siginfo_t *info, void *registers)
{
    ucontext_t *context = registers;
    long args[5];
    (void)signal;
    if (stepped_now.act) {
        void (*act)(void) = stepped_now.act;
        unsigned moment = stepped_now.moments++;
        stepped_now.act = NULL; /* its own calls just happen */
        if (moment == stepped_now.first || moment == stepped_now.second) {
            act();
            stepped_now.acts++;
        }
        stepped_now.act = act;
    }
    for (int i = 0; i < 5; i++)
        args[i] = (long)STEPPED_REGISTER(context, stepped_registers[i]);
    long rc = syscall(info->si_syscall, args[0], args[1], args[2], args[3], args[4],
                      (long)STEPPED_PASSES);
    STEPPED_REGISTER(context, STEPPED_RESULT) = rc < 0 ? -errno : rc;
}

static inline bool stepped_watch(void)
{
    static const unsigned watched[] = {SYS_openat,     SYS_mkdirat,   SYS_mknodat,
                                       SYS_readlinkat, SYS_open_tree, SYS_move_mount};
    const unsigned count = CWS_ARRAY_LEN(watched);
    struct sock_filter code[CWS_ARRAY_LEN(watched) + 5];
    unsigned short len = 0;
    code[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, args[5]));
    code[len++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STEPPED_PASSES, count + 1, 0);
    code[len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++)
        code[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, watched[i],
                                                   (uint8_t)(count - i), 0);
    code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    const struct sock_fprog program = {.len = len, .filter = code};
    const struct sigaction on_call = {.sa_sigaction = stepped_on_call,
                                      .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSYS, &on_call, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* ---- the child ------------------------------------------------------------------------------ */

static inline void stepped_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* Also as an ordinary user. False: this host does not let it. */
static inline bool stepped_enter(void)
{
    char uid_map[40], gid_map[40], proc[64];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
    snprintf(proc, sizeof(proc), "%s/proc", stepped_root);
    bool ordinary = geteuid() != 0;
    if (unshare(CLONE_NEWNS | (ordinary ? CLONE_NEWUSER : 0)) < 0)
        return false;
    if (ordinary) {
        stepped_write("/proc/self/uid_map", uid_map);
        stepped_write("/proc/self/setgroups", "deny");
        stepped_write("/proc/self/gid_map", gid_map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("/proc", proc, NULL, MS_BIND | MS_REC, NULL) == 0 && chroot(stepped_root) == 0 &&
           chdir("/") == 0;
}

static inline void stepped_run(const struct stepped *stepped)
{
    if (stepped->prepare)
        stepped->prepare();
    stepped_now.moments = stepped_now.acts = 0;
    stepped_now.act = stepped->act;
    long rc = stepped->run();
    stepped_now.act = NULL;
    if (stepped_now.moments > stepped_told->moments)
        stepped_told->moments = stepped_now.moments;
    stepped_told->reached += stepped->check(rc, stepped_now.acts);
    stepped->clean();
}

/* Acts before the call with this number, and each later one. */
static inline void stepped_child(const struct stepped *stepped, unsigned first)
{
    if (!stepped_enter() || !stepped_watch())
        _exit(STEPPED_SKIP);
    stepped_now.first = first;
    for (unsigned second = first; second == first || second < stepped_told->moments; second++) {
        stepped_now.second = second;
        stepped_run(stepped);
    }
    _exit(0);
}

static inline void stepped_await(pid_t child)
{
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == STEPPED_SKIP) {
        print_message("this host lets nobody have mounts of his own here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

/* Acts at every pair of moments, and at each alone. Returns how often a run got what it wants. */
static inline unsigned stepped_try_all(const struct stepped *stepped)
{
    stepped_told->moments = stepped_told->reached = 0;
    for (unsigned first = 0; first == 0 || first < stepped_told->moments; first++) {
        pid_t child = fork();
        if (child == 0)
            stepped_child(stepped, first);
        stepped_await(child);
        assert_true(stepped_told->moments > 0 && stepped_told->moments < STEPPED_MOST);
    }
    return stepped_told->reached;
}

/* Once, in such a child, with nobody who acts. */
static inline void stepped_alone(void (*run)(void))
{
    pid_t child = fork();
    if (child == 0) {
        if (!stepped_enter())
            _exit(STEPPED_SKIP);
        run();
        _exit(0);
    }
    stepped_await(child);
}

/* Of the group of tests: */
static inline int stepped_set_up(void **state)
{
    char proc[64];
    (void)state;
    alarm(UNIT_SECONDS);
    if (!mkdtemp(stepped_root))
        return -1;
    snprintf(proc, sizeof(proc), "%s/proc", stepped_root);
    stepped_told = mmap(NULL, sizeof(*stepped_told), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return stepped_told == MAP_FAILED ? -1 : mkdir(proc, 0755);
}

/* Here nothing was ever mounted in it. */
static inline int stepped_tear_down(void **state)
{
    char command[64];
    (void)state;
    munmap(stepped_told, sizeof(*stepped_told));
    snprintf(command, sizeof(command), "rm -r --one-file-system %s", stepped_root);
    return system(command);
}
