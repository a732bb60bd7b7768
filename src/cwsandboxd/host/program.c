#include "host/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "values/text.h"

static bool is_program(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static char *find_in(const char *folders, const char *name)
{
    char path[PATH_MAX];
    for (const char *folder = folders; folder;) {
        const char *end = strchrnul(folder, ':');
        int len = snprintf(path, sizeof(path), "%.*s/%s", (int)(end - folder), folder, name);
        if (path[0] == '/' && len < (int)sizeof(path) && is_program(path))
            return cws_strdup(path);
        folder = *end ? end + 1 : NULL;
    }
    return NULL;
}

char *cwsd_program_find(const char *name)
{
    char *path = find_in(getenv("PATH"), name);
    return path ? path : find_in("/usr/sbin:/sbin:/usr/bin:/bin", name);
}

char *cwsd_program_beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *beside = cws_malloc(folder + strlen(name) + 1);
    if (!beside)
        return NULL;
    memcpy(beside, path, folder);
    memcpy(beside + folder, name, strlen(name) + 1);
    return beside;
}

int cwsd_program_input(const char *text)
{
    size_t len = strlen(text);
    int fd = memfd_create("cwsandboxd-input", MFD_CLOEXEC);
    if (fd >= 0 && pwrite(fd, text, len, 0) == (ssize_t)len)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void cwsd_program_said(int fd, char *text, size_t size)
{
    ssize_t got = pread(fd, text, size - 1, 0);
    if (got < 0 && errno == ESPIPE)
        got = read(fd, text, size - 1);
    size_t len = got > 0 ? (size_t)got : 0;
    text[len] = '\0';
    /* The first line says it; what nft adds shows where. */
    text[strcspn(text, "\n")] = '\0';
    cwsd_text_clean(text);
}

void cwsd_program_ended(int wait_status, char *text, size_t size)
{
    if (text[0])
        return;
    if (WIFSIGNALED(wait_status))
        snprintf(text, size, "it was killed by signal %d", WTERMSIG(wait_status));
    else
        snprintf(text, size, "it ended with exit code %d", WEXITSTATUS(wait_status));
}

static int start(char *const argv[], int input, int said, pid_t *out_pid)
{
    static char *const no_environment[] = {NULL};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int rc = posix_spawnattr_init(&attributes);
    if (rc)
        return rc;
    rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        goto done;
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    rc = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawn(out_pid, argv[0], &actions, &attributes, argv, no_environment);
    posix_spawn_file_actions_destroy(&actions);
done:
    posix_spawnattr_destroy(&attributes);
    return rc;
}

enum cws_status cwsd_program_run(char *const argv[], const char *input, struct cws_error *err)
{
    char text[200];
    int wait_status = 0, said[2] = {-1, -1}, reading = cwsd_program_input(input ? input : "");
    pid_t pid = 0;
    enum cws_status status = CWS_OK;
    /* A pipe, since a program may not be allowed to write files. What does not fit is lost. */
    int rc = reading < 0 || pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0
                 ? errno
                 : start(argv, reading, said[1], &pid);
    if (rc) {
        status = cws_error_set_errno(err, CWS_SYSTEM, rc, "%s cannot be started", argv[0]);
        goto done;
    }
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
        ;
    if (wait_status) {
        cwsd_program_said(said[0], text, sizeof(text));
        cwsd_program_ended(wait_status, text, sizeof(text));
        status = cws_error_set(err, CWS_SYSTEM, "%s has failed: %s", argv[0], text);
    }
done:
    if (reading >= 0)
        close(reading);
    for (int i = 0; i < 2; i++)
        if (said[i] >= 0)
            close(said[i]);
    return status;
}
