/*
 * For the tests of boxes and execs: a loop, a host that was probed once, and recorders of events.
 *
 * Everything runs in the test's own thread. A test that ends well has left no descriptor, child or
 * mount behind; box_close looks.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "box/box_private.h"
#include "box/exec.h"
#include "box/host_private.h"
#include "box/probe.h"
#include "support/unit.h"

#define TEXT_CEILING (64u * 1024 * 1024)

/* A main command that runs until it is stopped; clients send it for a sandbox that was given
 * none. */
#define KEEP_ALIVE "trap \"exit 0\" TERM INT; sleep infinity & wait"

struct box_world {
    struct cws_loop *loop;
    const struct cwsd_host *host;
    struct cwsd_box *box;
    bool running, exited, gone;
    unsigned volumes; /* how often it was told of them */
    int exit_code;
    struct cws_error err; /* on_gone's */
    struct cwsi_usage usage;
    unsigned usages; /* how often it was told */
    unsigned descriptors_before;
};

/* ---- the machine ---------------------------------------------------------------------------- */

static inline const char *init_path(void)
{
    static char path[4096];
    const char *folder = getenv("CWS_TEST_BIN");
    if (folder) {
        snprintf(path, sizeof(path), "%s/cwsandbox-init", folder);
        return path;
    }
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);
    assert_true(len > 0);
    path[len] = '\0';
    for (int level = 0; level < 4; level++) /* tests/daemon/FLOOR/PROGRAM */
        *strrchr(path, '/') = '\0';
    strcat(path, "/bin/cwsandbox-init");
    return path;
}

static inline struct cwsd_host *probe_host(enum cwsd_isolation isolation)
{
    struct cwsd_host *host = NULL;
    struct cws_error err = {0};
    struct cwsd_host_options options = {.init_path = init_path(),
                                        .allow_none = isolation == CWSD_ISOLATION_NONE};
    if (cwsd_probe_host_from(&options, isolation, &host, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return host;
}

static inline unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* A name that nothing else on this machine has. */
static inline const char *unique_name(void)
{
    static char name[64];
    static unsigned count;
    snprintf(name, sizeof(name), "cws-test-%d-%u-%llx", (int)getpid(), count++,
             (unsigned long long)cws_clock_now_ns());
    return name;
}

/* Pids, as this process sees them, of all processes with `variable` in their environment. */
static inline size_t find_marked(const char *variable, int *pids, size_t cap)
{
    static char environment[65536];
    size_t found = 0, len = strlen(variable);
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL && found < cap) {
        char path[300];
        snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
        int fd = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? open(path, O_RDONLY) : -1;
        ssize_t size = fd < 0 ? -1 : read(fd, environment, sizeof(environment) - 1);
        if (size > 0 && memmem(environment, (size_t)size, variable, len))
            pids[found++] = atoi(entry->d_name);
        if (fd >= 0)
            close(fd);
    }
    closedir(folder);
    return found;
}

/* Returns once the process is gone; it may be a child of somebody else. */
static inline void wait_gone(int pidfd)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    while (poll(&end, 1, -1) != 1)
        ;
    close(pidfd);
}

static inline int open_pid(int pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* ---- boxes ---------------------------------------------------------------------------------- */

static inline void box_on_running(void *ctx)
{
    struct box_world *world = ctx;
    assert_false(world->running || world->exited || world->gone);
    world->running = true;
}

static inline void box_on_exited(void *ctx, int exit_code)
{
    struct box_world *world = ctx;
    assert_true(world->running && !world->exited && !world->gone);
    world->exited = true;
    world->exit_code = exit_code;
}

static inline void box_on_volumes(void *ctx)
{
    struct box_world *world = ctx;
    assert_false(world->running || world->exited || world->gone);
    world->volumes++;
}

static inline void box_on_usage(void *ctx, const struct cwsi_usage *usage)
{
    struct box_world *world = ctx;
    assert_true(world->running && !world->gone);
    world->usage = *usage;
    world->usages++;
}

static inline void box_on_gone(void *ctx, const struct cws_error *err)
{
    struct box_world *world = ctx;
    assert_false(world->gone);
    world->gone = true;
    if (err)
        world->err = *err;
}

static const struct cwsd_box_events box_world_events = {.on_running = box_on_running,
                                                        .on_volumes = box_on_volumes,
                                                        .on_exited = box_on_exited,
                                                        .on_usage = box_on_usage,
                                                        .on_gone = box_on_gone};

#define RUN_UNTIL(world, condition) \
    while (!(condition)) \
    uv_run(cws_loop_uv((world)->loop), UV_RUN_ONCE)

static inline void world_open(struct box_world *world, const struct cwsd_host *host)
{
    struct cws_error err = {0};
    *world = (struct box_world){.host = host, .exit_code = -1};
    world->descriptors_before = count_entries("/proc/self/fd");
    prctl(PR_SET_CHILD_SUBREAPER,
          1); /* what a dead parent leaves behind comes to us, to be counted */
    if (cws_loop_new(&world->loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static inline void world_close(struct box_world *world)
{
    cws_loop_free(world->loop);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, not even a dead one */
    assert_int_equal(count_entries("/proc/self/fd"), world->descriptors_before);
}

static inline void box_start(struct box_world *world, const struct cwsd_box_options *options)
{
    struct cws_error err = {0};
    world->running = world->exited = world->gone = false;
    world->err = (struct cws_error){0};
    if (cwsd_box_new(world->loop, world->host, options, &box_world_events, world, &world->box,
                     &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(world->running || world->gone);
}

/* Starts a box whose main command is the shell script, and returns at once. */
static inline void box_start_script(struct box_world *world, const char *script)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    box_start(world, &(struct cwsd_box_options){.id = "test", .command = {argv, 3}});
}

/* A box that runs until it is stopped. */
static inline void box_open(struct box_world *world, const struct cwsd_host *host)
{
    world_open(world, host);
    box_start_script(world, KEEP_ALIVE);
    RUN_UNTIL(world, world->running || world->gone);
    if (world->gone)
        fail_msg("%s", world->err.text);
}

static inline void box_end(struct box_world *world)
{
    RUN_UNTIL(world, world->gone);
    cwsd_box_free(world->box);
    world->box = NULL;
}

static inline void box_close(struct box_world *world)
{
    cwsd_box_stop(world->box, 0);
    box_end(world);
    world_close(world);
}

/* The exit code of a script that is the main command of a box of its own. */
static inline int run_script(struct box_world *world, const char *script)
{
    box_start_script(world, script);
    box_end(world);
    if (world->err.status != CWS_OK)
        fail_msg("%s", world->err.text);
    assert_true(world->exited);
    return world->exit_code;
}

/* ---- execs ---------------------------------------------------------------------------------- */

struct exec_world {
    struct box_world *world;
    struct cwsd_exec *exec;
    bool started, exited, failed, output_ended;
    bool free_on_output, free_on_exit, pause_on_output;
    int exit_code;
    unsigned drained;
    struct cws_error err;
    struct cws_buf out, complaints;
};

static inline void exec_on_started(void *ctx)
{
    struct exec_world *run = ctx;
    assert_false(run->started || run->exited || run->failed);
    run->started = true;
}

static inline void exec_on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct exec_world *run = ctx;
    assert_false(run->exited || run->failed);
    assert_true(len > 0 && len <= 64 * 1024);
    assert_int_equal(cws_buf_append(is_stderr ? &run->complaints : &run->out, data, len), CWS_OK);
    if (run->pause_on_output)
        cwsd_exec_pause(run->exec, true);
    if (run->free_on_output) {
        cwsd_exec_free(run->exec);
        run->exec = NULL;
    }
}

static inline void exec_on_drained(void *ctx)
{
    ((struct exec_world *)ctx)->drained++;
}

static inline void exec_last(struct exec_world *run)
{
    if (!run->free_on_exit)
        return;
    cwsd_exec_free(run->exec);
    run->exec = NULL;
}

static inline void exec_on_exited(void *ctx, int exit_code)
{
    struct exec_world *run = ctx;
    assert_true(run->started && !run->exited && !run->failed);
    run->exited = true;
    run->exit_code = exit_code;
    exec_last(run);
}

static inline void exec_on_failed(void *ctx, const struct cws_error *err)
{
    struct exec_world *run = ctx;
    assert_false(run->exited || run->failed);
    run->failed = true;
    run->err = *err;
    exec_last(run);
}

static inline void exec_on_output_ended(void *ctx)
{
    struct exec_world *run = ctx;
    assert_false(run->output_ended);
    run->output_ended = true;
}

static const struct cwsd_exec_events exec_world_events = {exec_on_started, exec_on_output,
                                                          exec_on_drained, exec_on_exited,
                                                          exec_on_failed,  exec_on_output_ended};

static inline void exec_open(struct exec_world *run, struct box_world *world,
                             const struct cwsd_exec_options *options)
{
    struct cws_error err = {0};
    *run = (struct exec_world){.world = world, .exit_code = -1};
    cws_buf_init(&run->out, TEXT_CEILING);
    cws_buf_init(&run->complaints, TEXT_CEILING);
    if (cwsd_exec_start(world->box, options, &exec_world_events, run, &run->exec, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(run->started);
}

static inline void exec_open_script(struct exec_world *run, struct box_world *world,
                                    const char *script, bool with_stdin)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    exec_open(run, world,
              &(struct cwsd_exec_options){.command = {argv, 3}, .with_stdin = with_stdin});
}

/* What came on stdout so far, as text. */
static inline const char *text_of(struct cws_buf *buf)
{
    uint8_t *tail;
    assert_int_equal(cws_buf_reserve(buf, 1, &tail), CWS_OK);
    *tail = '\0';
    return (const char *)cws_buf_bytes(buf);
}

static inline void exec_wait(struct exec_world *run)
{
    RUN_UNTIL(run->world, run->exited || run->failed);
    if (run->failed)
        fail_msg("%s", run->err.text);
}

static inline void exec_close(struct exec_world *run)
{
    if (run->exec)
        cwsd_exec_free(run->exec);
    cws_buf_done(&run->out);
    cws_buf_done(&run->complaints);
}

/* Runs the script; asserts its exit code and what it wrote to stdout. */
static inline void expect_script(struct box_world *world, const char *script, int exit_code,
                                 const char *out)
{
    struct exec_world run;
    exec_open_script(&run, world, script, false);
    exec_wait(&run);
    if (run.exit_code != exit_code || strcmp(text_of(&run.out), out) != 0)
        fail_msg("%s: exit %d, stdout \"%s\", stderr \"%s\"", script, run.exit_code,
                 text_of(&run.out), text_of(&run.complaints));
    exec_close(&run);
}
