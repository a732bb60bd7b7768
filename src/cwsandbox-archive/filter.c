/*
 * System calls that walking a tree and libarchive need: files below the root by any call that
 * libarchive may choose, memory that is not executed, and the end. Whatever else is called was not
 * this program's idea, and ends it.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine/filter.h"
#include "parts.h"

/* The same everywhere, but not in all headers. glibc 2.39 and musl 1.2.5 call it for what must not
 * follow a link. */
#define FCHMODAT2 452

static const uint32_t allowed[] = {
    /* content */
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_pwrite64,
    __NR_lseek,
    __NR_ftruncate,
    __NR_fallocate,
    __NR_close,
    __NR_fcntl,
    /* names */
    __NR_openat,
    __NR_getdents64,
    __NR_newfstatat,
    __NR_fstat,
    __NR_statx,
    __NR_readlinkat,
    __NR_faccessat,
    __NR_mkdirat,
    __NR_unlinkat,
    __NR_symlinkat,
    __NR_linkat,
    __NR_mknodat,
    __NR_chdir,
    __NR_fchdir,
    __NR_umask,
    /* what is known of them */
    __NR_fchmod,
    __NR_fchmodat,
    FCHMODAT2,
    __NR_fchown,
    __NR_fchownat,
    __NR_utimensat,
    __NR_getxattr,
    __NR_lgetxattr,
    __NR_fgetxattr,
    __NR_listxattr,
    __NR_llistxattr,
    __NR_flistxattr,
    __NR_setxattr,
    __NR_lsetxattr,
    __NR_fsetxattr,
#if defined(__x86_64__)
    __NR_open,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_readlink,
    __NR_mkdir,
    __NR_rmdir,
    __NR_unlink,
    __NR_symlink,
    __NR_link,
    __NR_mknod,
    __NR_chmod,
    __NR_chown,
    __NR_lchown,
    __NR_time,
#endif
    /* memory, and what the C library does by itself */
    __NR_brk,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_futex,
    __NR_getrandom,
    __NR_clock_gettime,
    __NR_gettimeofday,
    __NR_geteuid,
    __NR_getuid,
    __NR_getegid,
    __NR_getgid,
    __NR_rt_sigprocmask,
    __NR_rt_sigaction,
    __NR_rt_sigreturn,
    __NR_restart_syscall,
    __NR_exit,
    __NR_exit_group,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __NR_getpid,
    __NR_gettid,
    __NR_sched_yield,
    __NR_sigaltstack,
    __NR_prctl,
    __NR_prlimit64,
#endif
};

/* Only without PROT_EXEC. */
static const uint32_t mapping[] = {__NR_mmap, __NR_mprotect};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define END         SECCOMP_RET_KILL_PROCESS

bool filter_calls(void)
{
    struct sock_filter code[2 * COUNT(allowed) + 16];
    struct filter filter = {.code = code, .room = COUNT(code)};
    filter_start(&filter, END);
    for (size_t i = 0; i < COUNT(allowed); i++)
        filter_answer_if(&filter, allowed[i], SECCOMP_RET_ALLOW);
    filter_add(&filter, BPF_JMP | BPF_JEQ | BPF_K, mapping[0], 1, 0);
    filter_add(&filter, BPF_JMP | BPF_JEQ | BPF_K, mapping[1], 0, 3);
    filter_load(&filter, FILTER_ARGUMENT(2));
    filter_add(&filter, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0);
    filter_answer(&filter, SECCOMP_RET_ALLOW);
    filter_answer(&filter, END);
    const struct sock_fprog whole = filter_program(&filter);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0) == 0;
}
