/* One command: from the daemon's block to a running program. */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/termios.h>
#include <linux/uio.h>

#include "init.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The exit codes of a shell. */
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND      127

int command_read(struct launch *launch, char *block, uint64_t size)
{
    struct cwsi_command *command = (void *)block;
    if (size < sizeof(*command) || block[size - 1] != '\0')
        return -EINVAL;
    uint64_t count = (uint64_t)command->argc + 1 + command->envc + 1;
    if (count > (size - sizeof(*command)) / sizeof(uint64_t) || command->working_dir >= size)
        return -EINVAL;
    for (uint64_t i = 0; i < count; i++) {
        bool end = i == command->argc || i == count - 1;
        if (command->pointers[i] >= size || end != (command->pointers[i] == 0))
            return -EINVAL;
        if (!end)
            command->pointers[i] += (uint64_t)block;
    }
    launch->argv = (char **)command->pointers;
    launch->envp = launch->argv + command->argc + 1;
    launch->working_dir = block + command->working_dir;
    return 0;
}

/* ---- in the child --------------------------------------------------------------------------- */

static const char *find_path(char **envp)
{
    for (; *envp; envp++)
        if (text_starts(*envp, "PATH="))
            return *envp + 5;
    return DEFAULT_PATH;
}

/* As execvpe, without falling back to a shell. Returns only on failure: the errno. */
static int execute(char **argv, char **envp)
{
    const char *name = argv[0];
    char path[PATH_MAX];
    int error = ENOENT;
    for (const char *c = name; *c; c++)
        if (*c == '/')
            return (int)-SYS3(execve, name, argv, envp);
    if (!*name)
        return ENOENT;
    for (const char *dir = find_path(envp); dir;) {
        const char *end = dir;
        while (*end && *end != ':')
            end++;
        size_t len = (size_t)(end - dir);
        if (len + 1 + text_len(name) < sizeof(path)) {
            memcpy(path, dir, len);
            path[len] = '\0';
            text_append(path, sizeof(path), len ? "/" : "./");
            text_append(path, sizeof(path), name);
            int failed = (int)-SYS3(execve, path, argv, envp);
            if (failed == EACCES)
                error = EACCES;
            else if (failed != ENOENT && failed != ENOTDIR)
                return failed;
        }
        dir = *end ? end + 1 : NULL;
    }
    return error;
}

static struct iovec piece(const char *text)
{
    return (struct iovec){.iov_base = (void *)text, .iov_len = text_len(text)};
}

/* "cwsandbox: NAME: No such file or directory" */
static void complain(const char *what, const char *name, int error)
{
    char number[32] = "error ";
    text_append_number(number, sizeof(number), (unsigned long)error);
    const char *reason = text_error(error);
    struct iovec line[] = {piece("cwsandbox: "),
                           piece(what),
                           piece(name),
                           piece(": "),
                           piece(reason ? reason : number),
                           piece("\n")};
    SYS3(writev, 2, line, sizeof(line) / sizeof(line[0]));
}

static int run(const struct launch *launch)
{
    const uint64_t no_signals = 0;
    const char *what = "";
    const char *name = launch->argv[0];
    SYS0(setsid);
    if (launch->die_with_us)
        SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 3; i++)
        SYS3(dup3, launch->fds[i], i, 0);
    if (launch->has_terminal)
        SYS3(ioctl, 0, TIOCSCTTY, 0);
    SYS4(rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));

    int error = (int)-SYS1(chdir, launch->working_dir);
    bool in_place = error == 0;
    if (in_place) {
        error = execute(launch->argv, launch->envp);
    } else {
        what = "cannot change to directory ";
        name = launch->working_dir;
    }
    if (launch->error)
        *launch->error = error;
    complain(what, name, error);
    return in_place && error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

long command_start(struct launch *launch)
{
    /* Not vfork, which is faster by a little: then whoever stops the child in between (kill -STOP
     * -1) stops us too, and a sandbox whose daemon died would never end. For the main command
     * nobody is there yet who could. */
    unsigned long flags = SIGCHLD | (launch->error ? CLONE_VFORK : 0);
    long pid = SYS5(clone, flags, NULL, NULL, NULL, NULL);
    if (pid == 0)
        SYS1(exit_group, run(launch));
    return pid;
}
