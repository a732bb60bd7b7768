#include "host/limits.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PROCESSES  2048
#define DEFAULT_OPEN_FILES 10000
/* Of the machine's memory, where written files lie. */
#define DEFAULT_WRITTEN_PART 8

void cwsd_limits_complete(struct cwsd_limits *limits)
{
    struct rlimit own;
    struct sysinfo info;
    if (!limits->processes)
        limits->processes = DEFAULT_PROCESSES;
    if (!limits->open_files)
        limits->open_files = DEFAULT_OPEN_FILES;
    if (getrlimit(RLIMIT_NOFILE, &own) == 0 && limits->open_files > own.rlim_cur / 2)
        limits->open_files = own.rlim_cur / 2;
    if (!limits->written_bytes && sysinfo(&info) == 0)
        limits->written_bytes = (uint64_t)info.totalram * info.mem_unit / DEFAULT_WRITTEN_PART;
}

/* Starts a process that waits to be killed. False when the kernel allows no more. */
static bool add_process(pid_t *out_pid)
{
    *out_pid = fork();
    if (*out_pid == 0)
        for (;;)
            pause();
    return *out_pid > 0;
}

/* In the child: the answer as an exit code. */
static enum cwsd_process_count count_here(uid_t user)
{
    const struct rlimit two = {2, 2};
    pid_t first, second = 0;
    if (user && (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 ||
                 setresuid(user, user, user) != 0))
        return CWSD_COUNT_SHARED;
    if (unshare(CLONE_NEWUSER) != 0 || setrlimit(RLIMIT_NPROC, &two) != 0 || !add_process(&first))
        return CWSD_COUNT_SHARED;
    bool refused = !add_process(&second) && errno == EAGAIN;
    kill(first, SIGKILL);
    if (second > 0)
        kill(second, SIGKILL);
    while (wait(NULL) > 0)
        ;
    return refused ? CWSD_COUNT_OWN : CWSD_COUNT_NONE;
}

enum cwsd_process_count cwsd_limits_try_processes(uid_t user)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(count_here(user));
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return CWSD_COUNT_SHARED;
    return (enum cwsd_process_count)WEXITSTATUS(status);
}
