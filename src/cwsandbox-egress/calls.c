#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "confine/filter.h"

/* Of libuv, and of glibc and musl with their resolvers, threads and allocators. */
static const uint32_t allowed[] = {
    /* the loop */
    __NR_epoll_create1,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
    __NR_eventfd2,
    __NR_pipe2,
    __NR_timerfd_create,
    __NR_timerfd_settime,
    __NR_ppoll,
    __NR_pselect6,
    /* sockets */
    __NR_socketpair,
    __NR_bind,
    __NR_connect,
    __NR_listen,
    __NR_accept,
    __NR_accept4,
    __NR_shutdown,
    __NR_getsockname,
    __NR_getpeername,
    __NR_getsockopt,
    __NR_setsockopt,
    __NR_sendto,
    __NR_recvfrom,
    __NR_sendmsg,
    __NR_recvmsg,
    __NR_sendmmsg,
    __NR_recvmmsg,
    /* descriptors and files */
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_lseek,
    __NR_close,
    __NR_dup,
    __NR_dup3,
    __NR_fstat,
    __NR_newfstatat,
    __NR_statx,
    __NR_statfs,
    __NR_fstatfs,
    __NR_faccessat,
    __NR_readlinkat,
    __NR_getdents64,
    __NR_getcwd,
    __NR_fadvise64,
    /* memory and threads */
    __NR_brk,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_futex,
    __NR_set_robust_list,
    __NR_set_tid_address,
    __NR_rseq,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_sched_getparam,
    __NR_sched_getscheduler,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_sigaltstack,
    __NR_restart_syscall,
    __NR_exit,
    __NR_exit_group,
    /* what is known of itself and the machine */
    __NR_getpid,
    __NR_getppid,
    __NR_gettid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_getrlimit,
    __NR_getrusage,
    __NR_uname,
    __NR_sysinfo,
    __NR_getrandom,
    /* time */
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_clock_nanosleep,
    __NR_nanosleep,
    __NR_gettimeofday,
#if defined(__x86_64__) /* the older calls, which newer architectures never had */
    __NR_epoll_create,
    __NR_epoll_wait,
    __NR_eventfd,
    __NR_pipe,
    __NR_poll,
    __NR_select,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_readlink,
    __NR_dup2,
    __NR_arch_prctl,
    __NR_time,
#endif
};

#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

/* Allowed while none of the bits is in the argument. */
static const struct {
    uint32_t call, argument, bits;
} without[] = {
    {__NR_openat, 2, WRITES},
#if defined(__x86_64__)
    {__NR_open, 1, WRITES},
#endif
    {__NR_mprotect, 2, PROT_EXEC},
};

#define NAME_MEMORY 0x53564d41 /* PR_SET_VMA, which glibc's allocator uses */
#define OF_ITSELF   0

/* Allowed with these values of the argument only. An owner of a descriptor (F_SETOWN) would get
 * signals. */
static const struct {
    uint32_t call, argument, value;
} only[] = {
    {__NR_socket, 0, AF_UNIX},     {__NR_socket, 0, AF_INET},        {__NR_socket, 0, AF_INET6},
    {__NR_fcntl, 1, F_DUPFD},      {__NR_fcntl, 1, F_DUPFD_CLOEXEC}, {__NR_fcntl, 1, F_GETFD},
    {__NR_fcntl, 1, F_SETFD},      {__NR_fcntl, 1, F_GETFL},         {__NR_fcntl, 1, F_SETFL},
    {__NR_ioctl, 1, FIONBIO},      {__NR_ioctl, 1, FIONREAD},        {__NR_ioctl, 1, FIOCLEX},
    {__NR_ioctl, 1, FIONCLEX},     {__NR_ioctl, 1, SIOCGIFNAME},     {__NR_ioctl, 1, SIOCGIFINDEX},
    {__NR_ioctl, 1, SIOCGIFFLAGS}, {__NR_ioctl, 1, SIOCGIFCONF},     {__NR_prctl, 0, PR_SET_NAME},
    {__NR_prctl, 0, PR_GET_NAME},  {__NR_prctl, 0, NAME_MEMORY},     {__NR_prlimit64, 0, OF_ITSELF},
};

#define NUMBER  offsetof(struct seccomp_data, nr)
#define REFUSED (SECCOMP_RET_ERRNO | ENOSYS)
#define ROOM \
    (2 * CWS_ARRAY_LEN(allowed) + 6 * CWS_ARRAY_LEN(without) + 6 * CWS_ARRAY_LEN(only) + 64)

static void jump(struct filter *filter, uint16_t how, uint32_t value, uint8_t if_true,
                 uint8_t if_false)
{
    filter_add(filter, BPF_JMP | how | BPF_K, value, if_true, if_false);
}

static void add_without(struct filter *filter)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(without); i++) {
        jump(filter, BPF_JEQ, without[i].call, 0, 4);
        filter_load(filter, FILTER_ARGUMENT(without[i].argument));
        jump(filter, BPF_JSET, without[i].bits, 1, 0);
        filter_answer(filter, SECCOMP_RET_ALLOW);
        filter_answer(filter, REFUSED);
    }
}

static void add_only(struct filter *filter)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(only); i++) {
        jump(filter, BPF_JEQ, only[i].call, 0, 4);
        filter_load(filter, FILTER_ARGUMENT(only[i].argument));
        filter_answer_if(filter, only[i].value, SECCOMP_RET_ALLOW);
        filter_load(filter, NUMBER);
    }
}

/* The machine's own addresses. Of netlink's other protocols none is of use here. */
static void add_netlink(struct filter *filter)
{
    jump(filter, BPF_JEQ, __NR_socket, 0, 6);
    filter_load(filter, FILTER_ARGUMENT(0));
    jump(filter, BPF_JEQ, AF_NETLINK, 0, 3);
    filter_load(filter, FILTER_ARGUMENT(2));
    jump(filter, BPF_JEQ, NETLINK_ROUTE, 0, 1);
    filter_answer(filter, SECCOMP_RET_ALLOW);
    filter_answer(filter, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

/* Code comes from files, which cannot be written. */
static void add_mmap(struct filter *filter)
{
    jump(filter, BPF_JEQ, __NR_mmap, 0, 7);
    filter_load(filter, FILTER_ARGUMENT(2));
    jump(filter, BPF_JSET, PROT_EXEC, 0, 3);
    jump(filter, BPF_JSET, PROT_WRITE, 3, 0);
    filter_load(filter, FILTER_ARGUMENT(3));
    jump(filter, BPF_JSET, MAP_ANONYMOUS, 1, 0);
    filter_answer(filter, SECCOMP_RET_ALLOW);
    filter_answer(filter, REFUSED);
}

/* A thread, and no process. clone3 takes its flags from memory, which cannot be looked at. */
static void add_clone(struct filter *filter)
{
    jump(filter, BPF_JEQ, __NR_clone, 0, 4);
    filter_load(filter, FILTER_ARGUMENT(0));
    jump(filter, BPF_JSET, CLONE_THREAD, 0, 1);
    filter_answer(filter, SECCOMP_RET_ALLOW);
    filter_answer(filter, REFUSED);
}

bool cwse_calls_close(void)
{
    struct sock_filter code[ROOM];
    struct filter filter = {.code = code, .room = CWS_ARRAY_LEN(code)};
    filter_start(&filter, REFUSED);
    for (size_t i = 0; i < CWS_ARRAY_LEN(allowed); i++)
        filter_answer_if(&filter, allowed[i], SECCOMP_RET_ALLOW);
    add_without(&filter);
    add_only(&filter);
    add_netlink(&filter);
    add_mmap(&filter);
    add_clone(&filter);
    filter_answer(&filter, REFUSED);
    const struct sock_fprog whole = filter_program(&filter);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0) == 0;
}
