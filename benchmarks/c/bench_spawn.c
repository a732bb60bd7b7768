/*
 * What it costs to run /bin/true in a sandbox, by the ways there are:
 *
 *   bare     posix_spawn and waitpid, without a sandbox: the floor
 *
 *   init     cwsd_exec: asked of the sandbox's init over its socket; output pipes, event loop and
 * all
 *
 *   setns    the daemon forks, joins the sandbox by one setns(pidfd), forks again (a pid namespace
 * is entered by children only) and executes, with the same two pipes; the first child waits for the
 * second and passes the exit code on
 *
 *   create   a whole sandbox, until its main command runs
 *
 * bench_spawn RUNS HEAP_MIB INIT_PATH: HEAP_MIB of touched memory stand for a daemon with many
 * clients. One line per way: median and 90th percentile of the wall-clock time, in microseconds,
 * interleaved so that all see the same machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "box/box_private.h"
#include "box/exec.h"
#include "box/probe.h"

#define NAMESPACES \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static char *const true_argv[] = {(char *)"/bin/true", NULL};

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_spawn: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- sandboxes and commands, on a loop ------------------------------------------------------ */

struct bench {
    struct cws_loop *loop;
    struct cwsd_host *host;
    struct cwsd_box *box;
    struct cwsd_exec *exec;
    int exit_code;
};

static void stop_loop(void *ctx)
{
    cws_loop_stop(((struct bench *)ctx)->loop);
}

static void box_exited(void *ctx, int exit_code)
{
    (void)ctx;
    (void)exit_code;
}

static void box_gone(void *ctx, const struct cws_error *err)
{
    if (err)
        fprintf(stderr, "bench_spawn: %s\n", err->text);
    need(!err, "sandbox");
    stop_loop(ctx);
}

static const struct cwsd_box_events box_events = {
    .on_running = stop_loop, .on_exited = box_exited, .on_gone = box_gone};

static void exec_started(void *ctx)
{
    (void)ctx;
}

static void exec_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    (void)ctx;
    (void)is_stderr;
    (void)data;
    (void)len;
}

static void exec_exited(void *ctx, int exit_code)
{
    ((struct bench *)ctx)->exit_code = exit_code;
    stop_loop(ctx);
}

static void exec_failed(void *ctx, const struct cws_error *err)
{
    (void)ctx;
    fprintf(stderr, "bench_spawn: %s\n", err->text);
    exit(1);
}

static const struct cwsd_exec_events exec_events = {.on_started = exec_started,
                                                    .on_output = exec_output,
                                                    .on_stdin_drained = exec_started,
                                                    .on_exited = exec_exited,
                                                    .on_failed = exec_failed};

static void create(struct bench *bench)
{
    char *argv[] = {(char *)"/bin/sleep", (char *)"1000000", NULL};
    struct cwsd_box_options options = {.id = "bench", .command = {argv, 2}};
    struct cws_error err;
    if (cwsd_box_new(bench->loop, bench->host, &options, &box_events, bench, &bench->box, &err) !=
        CWS_OK) {
        fprintf(stderr, "bench_spawn: %s\n", err.text);
        exit(1);
    }
    cws_loop_run(bench->loop);
}

static void delete(struct bench *bench)
{
    cwsd_box_stop(bench->box, 0);
    cws_loop_run(bench->loop);
    cwsd_box_free(bench->box);
}

/* ---- the ways ------------------------------------------------------------------------------- */

static void run_bare(struct bench *bench)
{
    static char *const no_environment[] = {NULL};
    pid_t pid;
    int status;
    (void)bench;
    errno = posix_spawn(&pid, true_argv[0], NULL, NULL, true_argv, no_environment);
    need(errno == 0 && waitpid(pid, &status, 0) == pid && status == 0, "posix_spawn");
}

static void run_init(struct bench *bench)
{
    struct cwsd_exec_options options = {.command = {(char **)true_argv, 1}};
    struct cws_error err;
    bench->exit_code = -1;
    need(cwsd_exec_start(bench->box, &options, &exec_events, bench, &bench->exec, &err) == CWS_OK,
         "exec");
    cws_loop_run(bench->loop);
    need(bench->exit_code == 0, "exec's exit code");
    cwsd_exec_free(bench->exec);
}

static void enter_and_execute(int init_pidfd, int out, int err)
{
    int status;
    if (setns(init_pidfd, NAMESPACES) != 0)
        _exit(101);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        dup2(out, 1);
        dup2(err, 2);
        execv(true_argv[0], true_argv);
        _exit(102);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        _exit(103);
    _exit(WEXITSTATUS(status));
}

static void run_setns(struct bench *bench)
{
    char byte;
    int out[2], err[2], status;
    need(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipes");
    pid_t pid = fork();
    if (pid == 0)
        enter_and_execute(bench->box->init.fd, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    while (read(out[0], &byte, 1) > 0 || read(err[0], &byte, 1) > 0)
        ;
    need(waitpid(pid, &status, 0) == pid && status == 0, "setns");
    close(out[0]);
    close(err[0]);
}

static void run_create(struct bench *bench)
{
    create(bench);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

struct way {
    const char *name;
    void (*run)(struct bench *bench);
    double *us;
};

static void measure(struct bench *bench, struct way *way, int i)
{
    uint64_t begin = cws_clock_now_ns();
    way->run(bench);
    way->us[i] = (double)(cws_clock_now_ns() - begin) / 1e3;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct way ways[] = {{"bare", run_bare, 0}, {"init", run_init, 0}, {"setns", run_setns, 0}};
    struct way creation = {"create", run_create, 0};
    struct cws_error err;
    if (argc != 4) {
        fprintf(stderr, "usage: bench_spawn RUNS HEAP_MIB INIT_PATH\n");
        return 2;
    }
    int runs = atoi(argv[1]);
    size_t heap_size = (size_t)atoi(argv[2]) << 20;
    char *heap = malloc(heap_size + 1);
    need(heap && runs > 0, "arguments");
    memset(heap, 1, heap_size + 1);
    struct cwsd_host_options options = {.init_path = argv[3]};
    if (cwsd_probe_host(&options, &bench.host, &err) != CWS_OK ||
        cws_loop_new(&bench.loop, &err) != CWS_OK) {
        fprintf(stderr, "bench_spawn: %s\n", err.text);
        return 1;
    }
    printf("%s; %s MiB of heap, %d runs\n", cwsd_host_describe(bench.host), argv[2], runs);
    for (size_t w = 0; w < CWS_ARRAY_LEN(ways); w++)
        need((ways[w].us = calloc((size_t)runs, sizeof(double))) != NULL, "memory");
    need((creation.us = calloc((size_t)runs, sizeof(double))) != NULL, "memory");

    create(&bench);
    for (int i = 0; i < runs; i++)
        for (size_t w = 0; w < CWS_ARRAY_LEN(ways); w++)
            measure(&bench, &ways[w], i);
    delete(&bench);
    for (int i = 0; i < runs; i++) {
        measure(&bench, &creation, i);
        delete(&bench);
    }
    for (size_t w = 0; w <= CWS_ARRAY_LEN(ways); w++) {
        struct way *way = w < CWS_ARRAY_LEN(ways) ? &ways[w] : &creation;
        qsort(way->us, (size_t)runs, sizeof(double), compare);
        printf("%-7s %8.0f %8.0f us\n", way->name, way->us[runs / 2], way->us[runs * 9 / 10]);
        free(way->us);
    }
    cws_loop_free(bench.loop);
    cwsd_host_free(bench.host);
    free(heap);
    return 0;
}
