#include "box/share.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A sandbox gets this fraction (one over it) of what its user may have. */
#define PARTS 4

/* The setting of a user namespace limits all that is in it; the host's says what there is. */
static const struct {
    const char *host;
    const char *own;
} settings[] = {
    {"/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances"},
    {"/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"},
    {"/proc/sys/fs/fanotify/max_user_groups", "/proc/sys/user/max_fanotify_groups"},
    {"/proc/sys/fs/fanotify/max_user_marks", "/proc/sys/user/max_fanotify_marks"},
};

/* Inherited by all that is in the sandbox, and compared by the kernel with what the sandbox has in
 * all. */
static const struct {
    unsigned resource;
    const char *what;
} resources[] = {
    {RLIMIT_SIGPENDING, "pending signals"},
    {RLIMIT_MSGQUEUE, "message queues"},
    {RLIMIT_MEMLOCK, "locked memory"},
};

/* 0: there is no such setting. */
static unsigned long read_setting(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    return strtoul(text, NULL, 10);
}

void cwsd_share_add(struct cwsd_script *script)
{
    char text[32];
    struct rlimit limit;
    for (size_t i = 0; i < CWS_ARRAY_LEN(settings); i++) {
        unsigned long all = read_setting(settings[i].host);
        snprintf(text, sizeof(text), "%lu", (all + PARTS - 1) / PARTS);
        if (all)
            cwsd_script_add(script, CWSI_STEP_SETTING, CWSI_STEP_TRY, settings[i].own, text);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(resources); i++)
        if (getrlimit(resources[i].resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
            cwsd_script_limit(script, resources[i].resource, resources[i].what,
                              limit.rlim_cur / PARTS);
}
