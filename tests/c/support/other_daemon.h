/* Another process that has something as a daemon has it, until the test kills it. */
#pragma once

#include <signal.h>
#include <sys/wait.h>

#include "support/daemon_help.h"

struct other_daemon {
    pid_t pid;
    int until; /* a pipe's end that is closed when it is killed */
};

/* Its child before the program is executed: it keeps copies of the descriptors for a while. */
static inline void other_daemon_linger(int until)
{
    char byte;
    (void)!read(until, &byte, 1);
    usleep(200000);
    _exit(0);
}

/* `take` is called there. With a `child` it has just begun to start a program. */
static inline void other_daemon_start(struct other_daemon *other, bool (*take)(const char *path),
                                      const char *path, bool child)
{
    int taken[2], until[2];
    char byte;
    assert_int_equal(pipe(taken), 0);
    assert_int_equal(pipe(until), 0);
    other->pid = fork();
    if (other->pid == 0) {
        close(until[1]);
        if (!take(path))
            _exit(1);
        pid_t second = child ? fork() : -1;
        if (second == 0)
            other_daemon_linger(until[0]);
        (void)!write(taken[1], "x", 1);
        (void)!read(until[0], &byte, 1);
        _exit(0);
    }
    close(taken[1]);
    close(until[0]);
    other->until = until[1];
    assert_int_equal(read(taken[0], &byte, 1), 1);
    close(taken[0]);
}

static inline void other_daemon_kill(const struct other_daemon *other)
{
    int status;
    assert_int_equal(kill(other->pid, SIGKILL), 0);
    close(other->until);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
}
