/* cwsandbox-archive/filter: what ends the process that looks into archives. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/daemon_help.h"

#include "cwsandbox-archive/parts.h"

struct call {
    long number, args[6];
};

/* How a process ends that makes the call after it has the filter. */
static int end_of(const struct call *call)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const long *args = call->args;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !filter_calls())
            _exit(1);
        syscall(call->number, args[0], args[1], args[2], args[3], args[4], args[5]);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_what_ends_it(void **state)
{
    (void)state;
    const long code = MAP_PRIVATE | MAP_ANONYMOUS;
    const struct call calls[] = {
        {SYS_socket, {1, 1}},
        {SYS_execve, {0}},
        {SYS_clone, {SIGCHLD}},
        {SYS_clone3, {0}},
        {SYS_ptrace, {0}},
        {SYS_mount, {0}},
        {SYS_unshare, {CLONE_NEWNS}},
        {SYS_setns, {0}},
        {SYS_chroot, {0}},
        {SYS_kill, {1, 0}},
        {SYS_ioctl, {0, 0}},
        {SYS_bpf, {0}},
        {SYS_io_uring_setup, {0}},
        {SYS_userfaultfd, {0}},
        {SYS_keyctl, {0}},
        {SYS_memfd_create, {0}},
        {SYS_open_by_handle_at, {0}},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, code, -1, 0}},
        {SYS_mprotect, {0, 4096, PROT_EXEC}},
        {100000, {0}}, /* none of this kernel's */
#if defined(__x86_64__)
        {0x40000000 | SYS_read, {0}}, /* x32 */
        {SYS_fork, {0}},
#endif
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(calls); i++) {
        int status = end_of(&calls[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("call %ld: status %d", calls[i].number, status);
    }
}

static void test_what_does_not(void **state)
{
    (void)state;
    const struct call calls[] = {
        {SYS_openat, {AT_FDCWD, (long)"/", O_RDONLY | O_DIRECTORY}},
        {SYS_mkdirat, {AT_FDCWD, (long)"", 0}},
        {452 /* fchmodat2 */, {AT_FDCWD, (long)"", 0, AT_SYMLINK_NOFOLLOW}},
        {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {SYS_read, {-1}},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(calls); i++)
        assert_int_equal(end_of(&calls[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CWSD_TEST(test_what_ends_it), CWSD_TEST(test_what_does_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
