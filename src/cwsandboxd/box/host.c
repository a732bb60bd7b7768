#include "box/host_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cwsandbox-init/protocol.h"

#ifndef MFD_EXEC
#define MFD_EXEC 16u
#endif

/* ---- where things are ----------------------------------------------------------------------- */

static char *find_bwrap(const struct cwsd_host_options *options)
{
    char path[PATH_MAX];
    const char *folders = getenv("PATH");
    if (options->bwrap)
        return cws_strdup(options->bwrap);
    for (const char *folder = folders ? folders : "/usr/local/bin:/usr/bin:/bin"; folder;) {
        const char *end = strchrnul(folder, ':');
        int len = snprintf(path, sizeof(path), "%.*s/bwrap", (int)(end - folder), folder);
        if (path[0] == '/' && len < (int)sizeof(path) && access(path, X_OK) == 0)
            return cws_strdup(path);
        folder = *end ? end + 1 : NULL;
    }
    return NULL;
}

static enum cws_status find_init(const struct cwsd_host_options *options, char **out_path,
                                 struct cws_error *err)
{
    char path[PATH_MAX] = "";
    if (options->init_path) {
        snprintf(path, sizeof(path), "%s", options->init_path);
    } else {
        ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("cwsandbox-init"));
        if (len < 0)
            return cws_error_set_errno(err, CWS_SYSTEM, errno, "/proc/self/exe");
        while (len > 0 && path[len - 1] != '/')
            len--;
        snprintf(path + len, sizeof(path) - (size_t)len, "cwsandbox-init");
    }
    if (access(path, X_OK) != 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cwsandbox-init at %s", path);
    *out_path = cws_strdup(path);
    return *out_path ? CWS_OK : cws_error_set(err, CWS_NO_MEMORY, "out of memory");
}

/* A copy of a program for other users to execute, since they may not be able to reach the file.
 * Nobody can change the copy. */
static enum cws_status copy_init(struct cwsd_host *host, struct cws_error *err)
{
    ssize_t copied = 1;
    int from = open(host->init_path, O_RDONLY | O_CLOEXEC);
    int copy = memfd_create("cwsandbox-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL) /* a kernel before 6.3 */
        copy = memfd_create("cwsandbox-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    while (copied > 0)
        copied = sendfile(copy, from, NULL, 1 << 20);
    if (copied < 0 || fchmod(copy, 0555) < 0 ||
        fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        cws_error_set_errno(err, CWS_SYSTEM, errno, "copying cwsandbox-init at %s",
                            host->init_path);
        if (copy >= 0)
            close(copy);
        copy = -1;
    }
    host->init_fd = copy;
    if (from >= 0)
        close(from);
    return host->init_fd < 0 ? err->status : CWS_OK;
}

static enum cws_status check_state_dir(const struct cwsd_host_options *options,
                                       struct cws_error *err)
{
    char path[PATH_MAX];
    if (!options->state_dir || options->allow_none || !realpath(options->state_dir, path))
        return CWS_OK;
    for (size_t i = 0; cwsd_layout_programs[i]; i++) {
        size_t len = strlen(cwsd_layout_programs[i]);
        if (strncmp(path, cwsd_layout_programs[i], len) == 0 && (path[len] == '/' || !path[len]))
            return cws_error_set(err, CWS_INVALID,
                                 "the state directory %s must not be below %s: sandboxes see that",
                                 options->state_dir, cwsd_layout_programs[i]);
    }
    return CWS_OK;
}

/* ---- what it offers ------------------------------------------------------------------------- */

static void append(struct cwsd_host *host, const char *text)
{
    size_t len = strlen(host->description);
    snprintf(host->description + len, sizeof(host->description) - len, "%s", text);
}

/* Which users sandboxes are on this host. */
static void describe_user(struct cwsd_host *host, const char *why_root)
{
    if (host->users)
        append(host, "; each sandbox is a user of its own to this host, without any rights");
    if (!why_root)
        return;
    append(host, "; a sandbox's root is this user, root, to this host: ");
    append(host, why_root);
}

static void describe_programs(struct cwsd_host *host, unsigned read_only, const char *no_overlay)
{
    append(host, "bubblewrap: own user, pid, mount, network, ipc and uts namespaces; "
                 "the host's programs ");
    if (host->isolation == CWSD_ISOLATION_NAMESPACES) {
        append(host, "read-only, tmpfs elsewhere");
        if (no_overlay[0]) {
            append(host, "; no overlay: ");
            append(host, no_overlay);
        }
        return;
    }
    append(host, "under a private writable overlay, tmpfs elsewhere");
    if (geteuid() != 0 || host->users)
        append(host,
               "; what belongs to other users can be added to and replaced, not changed in place");
    for (unsigned i = 0; cwsd_layout_programs[i]; i++) {
        if (read_only & 1u << i) {
            append(host, "; read-only: ");
            append(host, cwsd_layout_programs[i]);
        }
    }
}

static void describe_limits(struct cwsd_host *host)
{
    char text[200];
    const struct cwsd_limits *limits = &host->limits;
    bool counted = host->process_count == CWSD_COUNT_OWN;
    append(host, "; each sandbox has at most ");
    snprintf(text, sizeof(text), "%llu processes, ", (unsigned long long)limits->processes);
    append(host, counted ? text : "");
    snprintf(text, sizeof(text), "%llu open files for each process, %llu MiB of written files",
             (unsigned long long)limits->open_files,
             (unsigned long long)limits->written_bytes >> 20);
    append(host, text);
    if (!counted)
        append(host, host->process_count == CWSD_COUNT_SHARED
                         ? "; its processes are NOT limited: this kernel (before 5.14) counts them "
                           "together with all others of this user"
                         : "; its processes are NOT limited: the kernel exempts root");
}

void cwsd_host_set_description(struct cwsd_host *host, unsigned read_only, const char *no_overlay,
                               const char *why_root)
{
    host->description[0] = '\0';
    describe_programs(host, read_only, no_overlay);
    describe_user(host, why_root);
    describe_limits(host);
}

enum cws_status cwsd_host_plan(struct cwsd_host *host, enum cwsd_isolation isolation,
                               unsigned read_only, struct cws_error *err)
{
    struct cwsd_layout_options options = {.isolation = isolation,
                                          .bwrap = host->bwrap,
                                          .init_path = host->init_path,
                                          .other_users = host->users != NULL,
                                          .limits = host->limits,
                                          .read_only = read_only,
                                          .etc_apart = host->etc_apart};
    if (host->process_count != CWSD_COUNT_OWN)
        options.limits.processes = 0;
    cwsd_layout_done(&host->layout);
    host->isolation = isolation;
    return cwsd_layout_init(&host->layout, &options, err);
}

/* ---- none ----------------------------------------------------------------------------------- */

static enum cws_status plan_none(struct cwsd_host *host, struct cws_error *err)
{
    const struct passwd *user = getpwuid(geteuid());
    struct cwsd_string_list *list = &host->layout.environment;
    host->isolation = CWSD_ISOLATION_NONE;
    cwsd_script_init(&host->layout.before);
    cwsd_script_init(&host->layout.after);
    if (cwsd_string_list_reserve(list, 8) != CWS_OK ||
        cwsd_string_list_add_pair(list, "PATH",
                                  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") ||
        cwsd_string_list_add_pair(list, "HOME", user ? user->pw_dir : "/") ||
        cwsd_string_list_add_pair(list, "USER", user ? user->pw_name : "nobody") ||
        cwsd_string_list_add_pair(list, "LOGNAME", user ? user->pw_name : "nobody") ||
        cwsd_string_list_add_pair(list, "LANG", "C.UTF-8"))
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    snprintf(host->description, sizeof(host->description),
             "NONE: commands run as this user on this host, with nothing in between");
    return CWS_OK;
}

/* ---- users ---------------------------------------------------------------------------------- */

enum cws_status cwsd_host_add_users(struct cwsd_host *host, struct cws_error *err)
{
    enum cws_status status = cwsd_users_new(&host->users, err);
    return status == CWS_OK && host->users ? copy_init(host, err) : status;
}

void cwsd_host_count_processes(struct cwsd_host *host)
{
    uid_t user = host->users ? cwsd_users_take(host->users) : 0;
    host->process_count = cwsd_limits_try_processes(user);
    cwsd_users_give_back(host->users, user);
}

void cwsd_host_drop_users(struct cwsd_host *host)
{
    cwsd_users_free(host->users);
    host->users = NULL;
    if (host->init_fd >= 0)
        close(host->init_fd);
    host->init_fd = -1;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum cws_status cwsd_host_new(const struct cwsd_host_options *options, struct cwsd_host **out_host,
                              struct cws_error *err)
{
    struct cwsd_host *host = cws_calloc(1, sizeof(*host));
    if (!host)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    host->init_fd = -1;
    host->limits = options->limits;
    cwsd_limits_complete(&host->limits);
    enum cws_status status = check_state_dir(options, err);
    if (status == CWS_OK)
        status = find_init(options, &host->init_path, err);
    if (status == CWS_OK && options->allow_none)
        status = plan_none(host, err);
    else if (status == CWS_OK)
        host->bwrap = find_bwrap(options);
    if (status != CWS_OK) {
        cwsd_host_free(host);
        return status;
    }
    *out_host = host;
    return CWS_OK;
}

void cwsd_host_free(struct cwsd_host *host)
{
    if (!host)
        return;
    cwsd_layout_done(&host->layout);
    cwsd_host_drop_users(host);
    cws_free(host->bwrap);
    cws_free(host->init_path);
    cws_free(host);
}

enum cwsd_isolation cwsd_host_isolation(const struct cwsd_host *host)
{
    return host->isolation;
}

const char *cwsd_host_describe(const struct cwsd_host *host)
{
    return host->description;
}

uint64_t cwsd_host_volume_bytes(const struct cwsd_host *host)
{
    return host->limits.written_bytes;
}

const char *cwsd_host_init_path(const struct cwsd_host *host)
{
    return host->init_path;
}
