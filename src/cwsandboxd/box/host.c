#include "box/host_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/box_private.h"

#ifndef MFD_EXEC
#define MFD_EXEC 16u
#endif

#define PROBE_TIMEOUT_NS (20 * CWS_NS_PER_S)

/* Exit codes of the probe's command. */
#define PROBE_OK        0
#define PROBE_READ_ONLY 10
#define PROBE_UNSEALED  11

/* $1: a file that must be new; $2: "overlay" or "". Opening for append changes nothing. */
static const char probe_command[] =
    "if (: >> /proc/sys/kernel/core_pattern) 2> /dev/null; then exit 11; fi\n"
    "if [ \"$2\" ]; then (: > \"$1\") 2> /dev/null && [ -e \"$1\" ] || exit 10; fi\n"
    ": > /tmp/probe && : > /root/probe && : > /workspace/probe || exit 12\n";

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

/* What is executed by other users than this one: the file may lie where they cannot come to. Nobody
 * can change the copy. */
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
        fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0 ||
        (host->init_fd = fcntl(copy, F_DUPFD_CLOEXEC, CWSI_PROGRAM + 1)) < 0)
        cws_error_set_errno(err, CWS_SYSTEM, errno, "copying cwsandbox-init at %s",
                            host->init_path);
    if (from >= 0)
        close(from);
    if (copy >= 0)
        close(copy);
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

/* ---- one container, to see whether it works ------------------------------------------------- */

struct probe {
    struct cws_loop *loop;
    struct cwsd_box *box;
    struct cws_timer timer;
    bool ran;
    bool timed_out;
    int exit_code;
    struct cws_error failure;
    struct cwsi_report fault;
};

static void on_running(void *ctx)
{
    struct probe *probe = ctx;
    probe->ran = true;
}

static void on_exited(void *ctx, int exit_code)
{
    struct probe *probe = ctx;
    probe->exit_code = exit_code;
}

static void on_gone(void *ctx, const struct cws_error *err)
{
    struct probe *probe = ctx;
    if (err)
        probe->failure = *err;
    probe->fault = probe->box->fault;
    cws_loop_stop(probe->loop);
}

static void on_timeout(struct cws_timer *timer)
{
    struct probe *probe = cws_container_of(timer, struct probe, timer);
    probe->timed_out = true;
    cwsd_box_stop(probe->box, 0);
}

/* Runs the probe's command in a box of `host`; CWS_OK when it ran to its end, whatever it found
 * out. */
static enum cws_status run_probe(const struct cwsd_host *host, const char *new_file,
                                 struct probe *probe, struct cws_error *err)
{
    static const struct cwsd_box_events events = {on_running, on_exited, on_gone};
    bool overlay = host->isolation == CWSD_ISOLATION_OVERLAY;
    char *argv[] = {(char *)"/bin/sh",
                    (char *)"-c",
                    (char *)probe_command,
                    (char *)"probe",
                    (char *)new_file,
                    (char *)(overlay ? "overlay" : ""),
                    NULL};
    struct cwsd_box_options options = {.id = "probe", .command = {argv, CWS_ARRAY_LEN(argv) - 1}};
    *probe = (struct probe){.exit_code = -1};
    enum cws_status status = cws_loop_new(&probe->loop, err);
    if (status != CWS_OK)
        return status;
    cws_timer_init(&probe->timer, on_timeout);
    status = cwsd_box_new(probe->loop, host, &options, &events, probe, &probe->box, err);
    if (status == CWS_OK) {
        if (cws_timer_set(probe->loop, &probe->timer, cws_clock_now_ns() + PROBE_TIMEOUT_NS) !=
            CWS_OK)
            on_timeout(&probe->timer);
        cws_loop_run(probe->loop);
        cws_timer_cancel(probe->loop, &probe->timer);
        cwsd_box_free(probe->box);
        if (probe->timed_out)
            status =
                cws_error_set(err, CWS_TIMED_OUT, "the probe container did not end within %llu s",
                              PROBE_TIMEOUT_NS / CWS_NS_PER_S);
        else if (probe->failure.status != CWS_OK) {
            *err = probe->failure;
            status = err->status;
        }
    }
    cws_loop_free(probe->loop);
    return status;
}

/* ---- from the strongest to the weakest ------------------------------------------------------ */

static enum cws_status plan(struct cwsd_host *host, enum cwsd_isolation isolation,
                            unsigned read_only, struct cws_error *err)
{
    struct cwsd_layout_options options = {.isolation = isolation,
                                          .bwrap = host->bwrap,
                                          .init_path = host->init_path,
                                          .other_users = host->users != NULL,
                                          .read_only = read_only};
    cwsd_layout_done(&host->layout);
    host->isolation = isolation;
    return cwsd_layout_init(&host->layout, &options, err);
}

/* The bit of the folder on which the init could not mount its overlay; 0: that was not it. */
static unsigned refused_overlay(const struct probe *probe)
{
    if (probe->fault.op != CWSI_FAILED || probe->fault.detail != CWSI_STEP_OVERLAY)
        return 0;
    for (unsigned i = 0; cwsd_layout_programs[i]; i++)
        if (strcmp(cwsd_layout_programs[i], probe->fault.path) == 0)
            return 1u << i;
    return 0;
}

/* CWS_OK: it works; `host` is ready. */
static enum cws_status try_isolation(struct cwsd_host *host, enum cwsd_isolation isolation,
                                     unsigned *out_read_only, struct cws_error *err)
{
    char new_file[64];
    struct probe probe;
    unsigned read_only = 0, refused;
    snprintf(new_file, sizeof(new_file), "/usr/local/bin/.cwsandbox-probe-%d", (int)getpid());
    enum cws_status status;
    do {
        status = plan(host, isolation, read_only, err);
        if (status != CWS_OK)
            return status;
        status = run_probe(host, new_file, &probe, err);
        /* A folder with mounts of its own below cannot be overlaid; it stays read-only, the others
         * need not. */
        refused = status == CWS_OK ? 0 : refused_overlay(&probe);
        read_only |= refused;
    } while (refused && !(read_only & 1u));
    if (status != CWS_OK)
        return status;
    *out_read_only = read_only;
    if (access(new_file, F_OK) == 0) {
        unlink(new_file);
        return cws_error_set(err, CWS_SYSTEM, "a file made in a sandbox appeared on the host: %s",
                             new_file);
    }
    switch (probe.exit_code) {
    case PROBE_OK:
        return CWS_OK;
    case PROBE_READ_ONLY:
        return cws_error_set(err, CWS_SYSTEM,
                             "an overlay could be mounted on /usr, but not written to");
    case PROBE_UNSEALED:
        return cws_error_set(err, CWS_SYSTEM,
                             "the host's kernel settings in /proc/sys could be written to");
    default:
        return cws_error_set(err, CWS_SYSTEM, "the probe container's command ended with %d",
                             probe.exit_code);
    }
}

static void append(struct cwsd_host *host, const char *text)
{
    size_t len = strlen(host->description);
    snprintf(host->description + len, sizeof(host->description) - len, "%s", text);
}

/* Who sandboxes are to this host. */
static void describe_user(struct cwsd_host *host, const char *why_root)
{
    if (host->users)
        append(host, "; each sandbox is a user of its own to this host, without any rights");
    if (!why_root)
        return;
    append(host, "; a sandbox's root is this user, root, to this host: ");
    append(host, why_root);
}

/* `no_overlay` is why there is none, or "". */
static void describe(struct cwsd_host *host, unsigned read_only, const char *no_overlay)
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

/* ---- why not -------------------------------------------------------------------------------- */

/* The number in a file of /proc; -1 when there is none. */
static int read_setting(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0 ? atoi(text) : -1;
}

/* The setting by which ordinary users may have no namespaces, or NULL. */
static const char *refusing_setting(void)
{
    if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return "user namespaces are turned off for ordinary users "
               "(kernel.unprivileged_userns_clone is 0)";
    if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return "AppArmor restricts user namespaces "
               "(kernel.apparmor_restrict_unprivileged_userns is 1)";
    return NULL;
}

/* Puts the layer that most likely refused in front of what bubblewrap said. */
static enum cws_status name_layer(const struct cwsd_host *host, struct cws_error *err)
{
    const char *setting = geteuid() != 0 || host->users ? refusing_setting() : NULL;
    if (read_setting("/proc/sys/user/max_user_namespaces") == 0)
        setting = "user namespaces are turned off on this host (user.max_user_namespaces is 0)";
    return cws_error_wrap(err, "%s", setting ? setting : "no sandbox could be set up");
}

/* Why root can have sandboxes at most as root; NULL: that is not so. */
static const char *refused_to_users(const struct cwsd_host *host)
{
    bool became;
    int error = cwsd_users_try(host->users, &became);
    const char *setting = refusing_setting();
    if (setting || !error)
        return setting;
    return became ? "user namespaces are refused to ordinary users"
                  : "the daemon may not start programs as other users";
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

/* ---- life ----------------------------------------------------------------------------------- */

static enum cws_status probe_each(struct cwsd_host *host, enum cwsd_isolation strongest,
                                  const char *why_root, struct cws_error *err)
{
    struct cws_error overlay_err = {0};
    unsigned read_only = 0;
    if (strongest == CWSD_ISOLATION_OVERLAY &&
        try_isolation(host, CWSD_ISOLATION_OVERLAY, &read_only, &overlay_err) == CWS_OK) {
        describe(host, read_only, "");
        describe_user(host, why_root);
        return CWS_OK;
    }
    enum cws_status status = try_isolation(host, CWSD_ISOLATION_NAMESPACES, &read_only, err);
    if (status != CWS_OK)
        return status == CWS_SYSTEM ? name_layer(host, err) : status;
    describe(host, read_only, overlay_err.text);
    describe_user(host, why_root);
    return CWS_OK;
}

static void drop_users(struct cwsd_host *host)
{
    cwsd_users_free(host->users);
    host->users = NULL;
    if (host->init_fd >= 0)
        close(host->init_fd);
    host->init_fd = -1;
}

/* Root's sandboxes are users of their own, or root itself only where the host makes a difference
 * between the two. */
static enum cws_status probe_all(struct cwsd_host *host, enum cwsd_isolation strongest,
                                 struct cws_error *err)
{
    const char *why_root = NULL;
    if (!host->bwrap)
        return cws_error_set(
            err, CWS_SYSTEM,
            "bubblewrap is not installed: there is no bwrap on PATH (Debian: apt-get install "
            "bubblewrap)");
    if (geteuid() != 0)
        return probe_each(host, strongest, NULL, err);
    enum cws_status status = cwsd_users_new(&host->users, err);
    if (status == CWS_OK && host->users)
        status = copy_init(host, err);
    if (status != CWS_OK)
        return status;
    if (host->users) {
        status = probe_each(host, strongest, NULL, err);
        why_root = status == CWS_SYSTEM ? refused_to_users(host) : NULL;
        if (!why_root)
            return status;
        drop_users(host);
    } else {
        why_root = "there are no others in this user namespace";
    }
    return probe_each(host, strongest, why_root, err);
}

enum cws_status cwsd_host_probe_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err)
{
    struct cwsd_host *host = cws_calloc(1, sizeof(*host));
    if (!host)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    host->init_fd = -1;
    /* A command may close its stdin while it is written to. */
    signal(SIGPIPE, SIG_IGN);
    /* What bubblewrap leaves behind is ours to reap: who is above us may not do it (the first
     * process of a container). */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    enum cws_status status = check_state_dir(options, err);
    if (status == CWS_OK)
        status = find_init(options, &host->init_path, err);
    if (status == CWS_OK && options->allow_none) {
        status = plan_none(host, err);
    } else if (status == CWS_OK) {
        host->bwrap = find_bwrap(options);
        status = probe_all(host, strongest, err);
    }
    if (status != CWS_OK) {
        cwsd_host_free(host);
        return status;
    }
    *out_host = host;
    return CWS_OK;
}

enum cws_status cwsd_host_probe(const struct cwsd_host_options *options,
                                struct cwsd_host **out_host, struct cws_error *err)
{
    return cwsd_host_probe_from(options, CWSD_ISOLATION_OVERLAY, out_host, err);
}

void cwsd_host_free(struct cwsd_host *host)
{
    if (!host)
        return;
    cwsd_layout_done(&host->layout);
    drop_users(host);
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
