#include "box/share.h"

#include <stdio.h>
#include <sys/resource.h>

#include "host/setting.h"

/* A sandbox gets this fraction (one over it) of what its user may have. */
#define SANDBOXES 4

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

void cwsd_share_add(struct cwsd_script *script, unsigned parts)
{
    const unsigned divisor = SANDBOXES * parts;
    char text[32];
    struct rlimit limit;
    for (size_t i = 0; i < CWS_ARRAY_LEN(settings); i++) {
        long all = cwsd_setting_read(settings[i].host);
        if (all <= 0)
            continue;
        snprintf(text, sizeof(text), "%ld", all / divisor + (all % divisor != 0));
        cwsd_script_add(script, CWSI_STEP_SETTING, CWSI_STEP_TRY, settings[i].own, text);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(resources); i++)
        if (getrlimit(resources[i].resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
            cwsd_script_limit(script, resources[i].resource, resources[i].what,
                              limit.rlim_cur / divisor);
}
