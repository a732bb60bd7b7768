#include "box/probe.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "box/box_private.h"
#include "box/host_private.h"
#include "host/setting.h"

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
    static const struct cwsd_box_events events = {
        .on_running = on_running, .on_exited = on_exited, .on_gone = on_gone};
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

static bool refused_overlay_on(const struct probe *probe, const char *path)
{
    return probe->fault.op == CWSI_FAILED && probe->fault.detail == CWSI_STEP_OVERLAY &&
           strcmp(path, probe->fault.path) == 0;
}

/* The bit of the folder on which the init could not mount its overlay; 0: that was not it. */
static unsigned refused_overlay(const struct probe *probe)
{
    for (unsigned i = 0; cwsd_layout_programs[i]; i++)
        if (refused_overlay_on(probe, cwsd_layout_programs[i]))
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
    bool refused_etc;
    snprintf(new_file, sizeof(new_file), "/usr/local/bin/.cwsandbox-probe-%d", (int)getpid());
    enum cws_status status;
    do {
        status = cwsd_host_plan(host, isolation, read_only, err);
        if (status != CWS_OK)
            return status;
        status = run_probe(host, new_file, &probe, err);
        /* A folder with mounts of its own below, as containers have them in /etc, cannot be
         * overlaid; it stays read-only, the others need not. */
        refused = status == CWS_OK ? 0 : refused_overlay(&probe);
        read_only |= refused;
        refused_etc =
            !host->etc_apart && status != CWS_OK && refused_overlay_on(&probe, cwsd_layout_etc);
        host->etc_apart = host->etc_apart || refused_etc; /* once, so the loop ends */
    } while (refused_etc || (refused && !(read_only & 1u)));
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

/* ---- why not -------------------------------------------------------------------------------- */

/* The setting by which ordinary users may have no namespaces, or NULL. */
static const char *refusing_setting(void)
{
    if (cwsd_setting_read("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return "user namespaces are turned off for ordinary users "
               "(kernel.unprivileged_userns_clone is 0)";
    if (cwsd_setting_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return "AppArmor restricts user namespaces "
               "(kernel.apparmor_restrict_unprivileged_userns is 1)";
    return NULL;
}

/* Puts the layer that most likely refused in front of what bubblewrap said. */
static enum cws_status name_layer(const struct cwsd_host *host, struct cws_error *err)
{
    const char *setting = geteuid() != 0 || host->users ? refusing_setting() : NULL;
    if (cwsd_setting_read("/proc/sys/user/max_user_namespaces") == 0)
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

static enum cws_status probe_each(struct cwsd_host *host, enum cwsd_isolation strongest,
                                  const char *why_root, struct cws_error *err)
{
    struct cws_error overlay_err = {0};
    unsigned read_only = 0;
    cwsd_host_count_processes(host);
    if (strongest == CWSD_ISOLATION_OVERLAY &&
        try_isolation(host, CWSD_ISOLATION_OVERLAY, &read_only, &overlay_err) == CWS_OK) {
        cwsd_host_set_description(host, read_only, "", why_root);
        return CWS_OK;
    }
    enum cws_status status = try_isolation(host, CWSD_ISOLATION_NAMESPACES, &read_only, err);
    if (status != CWS_OK)
        return status == CWS_SYSTEM ? name_layer(host, err) : status;
    cwsd_host_set_description(host, read_only, overlay_err.text, why_root);
    return CWS_OK;
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
    enum cws_status status = cwsd_host_add_users(host, err);
    if (status != CWS_OK)
        return status;
    if (host->users) {
        status = probe_each(host, strongest, NULL, err);
        why_root = status == CWS_SYSTEM ? refused_to_users(host) : NULL;
        if (!why_root)
            return status;
        cwsd_host_drop_users(host);
    } else {
        why_root = "there are no others in this user namespace";
    }
    return probe_each(host, strongest, why_root, err);
}

/* ---- the whole ------------------------------------------------------------------------------ */

enum cws_status cwsd_probe_host_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err)
{
    struct cwsd_host *host;
    /* A command may close its stdin while it is written to. */
    signal(SIGPIPE, SIG_IGN);
    /* What bubblewrap leaves behind is ours to reap: who is above us may not do it (the first
     * process of a container). */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    enum cws_status status = cwsd_host_new(options, &host, err);
    if (status != CWS_OK)
        return status;
    if (!options->allow_none)
        status = probe_all(host, strongest, err);
    if (status != CWS_OK) {
        cwsd_host_free(host);
        return status;
    }
    *out_host = host;
    return CWS_OK;
}

enum cws_status cwsd_probe_host(const struct cwsd_host_options *options,
                                struct cwsd_host **out_host, struct cws_error *err)
{
    return cwsd_probe_host_from(options, CWSD_ISOLATION_OVERLAY, out_host, err);
}
