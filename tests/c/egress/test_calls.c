/* cwsandbox-egress/calls: what is left to call, and that it is enough for names and connections. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "cwsandbox-egress/calls.h"

struct call {
    long number;
    int error;
    long args[6];
};

/* How a process ends that has only these calls left. */
static int end_of(int (*step)(const void *data), const void *data)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !cwse_calls_close())
            _exit(100);
        _exit(step(data));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int is_refused(const void *data)
{
    const struct call *call = data;
    const long *args = call->args;
    errno = 0;
    long rc = syscall(call->number, args[0], args[1], args[2], args[3], args[4], args[5]);
    return rc == -1 && errno == call->error ? 0 : 1;
}

static void what_is_refused(void **state)
{
    (void)state;
    const long memory = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct call calls[] = {
        {SYS_execve, ENOSYS, {0}},
        {SYS_execveat, ENOSYS, {-1}},
        {SYS_clone, ENOSYS, {SIGCHLD}},
        {SYS_clone3, ENOSYS, {0}},
        {SYS_kill, ENOSYS, {getpid(), 0}},
        {SYS_tgkill, ENOSYS, {getpid(), getpid(), 0}},
        {SYS_rt_sigqueueinfo, ENOSYS, {getpid(), 0, 0}},
        {SYS_pidfd_send_signal, ENOSYS, {-1}},
        {SYS_fcntl, ENOSYS, {0, F_SETOWN, getpid()}},
        {SYS_prlimit64, ENOSYS, {getppid()}},
        {SYS_ptrace, ENOSYS, {0}},
        {SYS_process_vm_readv, ENOSYS, {getppid()}},
        {SYS_process_vm_writev, ENOSYS, {getppid()}},
        {SYS_prctl, ENOSYS, {PR_SET_DUMPABLE, 1}},
        {SYS_mount, ENOSYS, {0}},
        {SYS_unshare, ENOSYS, {CLONE_NEWUSER}},
        {SYS_setns, ENOSYS, {-1}},
        {SYS_bpf, ENOSYS, {0}},
        {SYS_io_uring_setup, ENOSYS, {0}},
        {SYS_userfaultfd, ENOSYS, {0}},
        {SYS_perf_event_open, ENOSYS, {0}},
        {SYS_keyctl, ENOSYS, {0}},
        {SYS_memfd_create, ENOSYS, {(long)"x", 0}},
        {SYS_personality, ENOSYS, {0xffffffff}},
        {SYS_openat2, ENOSYS, {AT_FDCWD, (long)"/", 0, 0}},
        {SYS_openat, ENOSYS, {AT_FDCWD, (long)"/dev/null", O_WRONLY}},
        {SYS_openat, ENOSYS, {AT_FDCWD, (long)"/dev/null", O_RDWR}},
        {SYS_openat, ENOSYS, {AT_FDCWD, (long)"/tmp/cws-never", O_CREAT, 0600}},
        {SYS_unlinkat, ENOSYS, {AT_FDCWD, (long)"/tmp/cws-never"}},
        {SYS_ioctl, ENOSYS, {0, 0x5412 /* TIOCSTI */, 0}},
        {SYS_socket, EAFNOSUPPORT, {AF_VSOCK, SOCK_STREAM}},
        {SYS_socket, EAFNOSUPPORT, {AF_PACKET, SOCK_RAW}},
        {SYS_socket, EAFNOSUPPORT, {AF_ALG, SOCK_SEQPACKET}},
        {SYS_socket, EAFNOSUPPORT, {AF_NETLINK, SOCK_RAW, 12 /* NETLINK_NETFILTER */}},
        {SYS_mmap, ENOSYS, {0, 4096, PROT_READ | PROT_EXEC, memory, -1, 0}},
        {SYS_mmap, ENOSYS, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, 0, 0}},
        {SYS_mprotect, ENOSYS, {0, 4096, PROT_READ | PROT_EXEC}},
        {100000, ENOSYS, {0}}, /* none of this kernel's */
#if defined(__x86_64__)
        {0x40000000 | SYS_getpid, ENOSYS, {0}}, /* x32 */
        {SYS_fork, ENOSYS, {0}},
        {SYS_vfork, ENOSYS, {0}},
        {SYS_open, ENOSYS, {(long)"/dev/null", O_WRONLY}},
        {SYS_creat, ENOSYS, {(long)"/tmp/cws-never", 0600}},
#endif
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(calls); i++) {
        int status = end_of(is_refused, &calls[i]);
        if (status)
            fail_msg("row %zu, call %ld: status %d", i, calls[i].number, status);
    }
}

static int maps_code_of_a_file(const void *data)
{
    (void)data;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    return fd >= 0 && code != MAP_FAILED ? 0 : 1;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    *(bool *)request->data = status == 0 && found;
    uv_freeaddrinfo(found);
}

/* Of libuv, in a thread of its pool. */
static int looks_a_name_up(const void *data)
{
    (void)data;
    bool found = false;
    uv_loop_t loop;
    uv_getaddrinfo_t request = {.data = &found};
    if (uv_loop_init(&loop) ||
        uv_getaddrinfo(&loop, &request, on_found, "localhost", "443", NULL) ||
        uv_run(&loop, UV_RUN_DEFAULT))
        return 1;
    return found ? 0 : 2;
}

static int knows_its_addresses(const void *data)
{
    (void)data;
    struct ifaddrs *all;
    if (getifaddrs(&all))
        return 1;
    freeifaddrs(all);
    return 0;
}

static int connects(const void *data)
{
    (void)data;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte = 'x';
    if (bind(listener, (struct sockaddr *)&name, len) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&name, &len) ||
        connect(client, (struct sockaddr *)&name, len))
        return 1;
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return send(server, &byte, 1, MSG_NOSIGNAL) == 1 && recv(client, &byte, 1, 0) == 1 ? 0 : 2;
}

static void what_is_left(void **state)
{
    (void)state;
    assert_int_equal(end_of(maps_code_of_a_file, NULL), 0);
    assert_int_equal(end_of(looks_a_name_up, NULL), 0);
    assert_int_equal(end_of(knows_its_addresses, NULL), 0);
    assert_int_equal(end_of(connects, NULL), 0);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(what_is_refused),
    UNIT_TEST(what_is_left),
};

UNIT_MAIN(tests)
