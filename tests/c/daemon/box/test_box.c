/* A box's life, what is in it, and that nothing stays behind. */
#include <errno.h>
#include <time.h>

#include "support/box_hosts.h"

/* ---- life and end --------------------------------------------------------------------------- */

static void test_runs_and_stops(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    box_start_script(&world, "trap 'exit 0' TERM; : > /tmp/trapped; sleep infinity & wait");
    RUN_UNTIL(&world, world.running);
    expect_script(&world, AWAIT_TRAP, 0, "");
    cwsd_box_stop(world.box, 30000);
    box_end(&world);
    assert_true(world.exited);
    assert_int_equal(world.exit_code, 0);
    assert_int_equal(world.err.status, CWS_OK);
    world_close(&world);
}

static void start_idle(struct box_world *world, const char *working_dir)
{
    box_start(world, &(struct cwsd_box_options){.id = "test", .working_dir = working_dir});
    RUN_UNTIL(world, world->running || world->gone);
}

/* A box without a main command: the init alone, and commands as in any other. */
static void test_idles_and_stops(void **state)
{
    struct box_world world;
    (void)state;
    const struct cwsd_host *const with[] = {host, host_without_overlay, host_none};
    for (size_t i = 0; i < CWS_ARRAY_LEN(with); i++) {
        world_open(&world, with[i]);
        start_idle(&world, NULL);
        assert_true(world.running);
        if (with[i] != host_none)
            expect_script(&world,
                          "set -- /proc/[0-9]*; echo $*; cat /proc/1/comm; tr -d '\\0' < "
                          "/proc/1/cmdline; pwd",
                          0, "/proc/1 /proc/2\ncwsandbox-init\ncwsandbox-init/\n");
        cwsd_box_stop(world.box, 30000);
        box_end(&world);
        assert_true(world.exited);
        assert_int_equal(world.exit_code, 0);
        assert_int_equal(world.err.status, CWS_OK);
        start_idle(&world, NULL);
        cwsd_box_stop(world.box, 0);
        box_end(&world);
        assert_int_equal(world.exit_code, 128 + SIGKILL);
        assert_int_equal(world.err.status, CWS_OK);
        world_close(&world);
    }
}

/* Its end ends its commands, as that of any main command does. */
static void test_idle_end_takes_commands_along(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    world_open(&world, host);
    start_idle(&world, "/srv");
    exec_open_script(&run, &world, "trap '' TERM; pwd; exec sleep 1000", false);
    RUN_UNTIL(&world, run.out.len);
    assert_string_equal(text_of(&run.out), "/srv\n");
    cwsd_box_stop(world.box, 30000);
    box_end(&world);
    assert_int_equal(world.exit_code, 0);
    RUN_UNTIL(&world, run.failed);
    assert_int_equal(run.err.status, CWS_CLOSED);
    exec_close(&run);
    world_close(&world);
}

static void test_idle_where_it_cannot(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host_none);
    start_idle(&world, "/no/such/folder");
    box_end(&world);
    assert_false(world.running);
    assert_int_equal(world.err.status, CWS_INVALID);
    assert_string_equal(world.err.text,
                        "the working directory \"/no/such/folder\": No such file or directory");
    world_close(&world);
}

static void test_main_commands_exit_code(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    assert_int_equal(run_script(&world, "exit 7"), 7);
    assert_int_equal(run_script(&world, "kill -SEGV $$"), 128 + SIGSEGV);
    world_close(&world);
}

static void test_main_command_that_cannot_run(void **state)
{
    struct box_world world;
    char *argv[] = {(char *)"no-such-program", NULL};
    (void)state;
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){.id = "test", .command = {argv, 1}});
    box_end(&world);
    assert_false(world.running);
    assert_int_equal(world.err.status, CWS_INVALID);
    assert_string_equal(world.err.text,
                        "the main command \"no-such-program\": No such file or directory");
    world_close(&world);
}

static void test_term_that_is_ignored(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    box_start_script(&world, "trap '' TERM; : > /tmp/trapped; while :; do sleep 1000; done");
    RUN_UNTIL(&world, world.running);
    expect_script(&world, AWAIT_TRAP, 0, "");
    cwsd_box_stop(world.box, 3600 * 1000);
    cwsd_box_stop(world.box, 1); /* a shorter grace counts */
    box_end(&world);
    assert_int_equal(world.exit_code, 128 + SIGKILL);
    assert_int_equal(world.err.status, CWS_OK);
    world_close(&world);
}

static void test_stop_before_it_runs(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    box_start_script(&world, KEEP_ALIVE);
    cwsd_box_stop(world.box, 30000);
    box_end(&world);
    assert_false(world.running || world.exited);
    assert_int_equal(world.err.status, CWS_CANCELLED);
    world_close(&world);
}

static void test_stop_at_every_moment_of_creation(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    for (int round = 0; round < 40; round++) {
        const struct timespec moment = {.tv_nsec = round * 200000};
        box_start_script(&world, KEEP_ALIVE);
        nanosleep(&moment, NULL); /* not to wait for anything: to come at another moment */
        uv_run(cws_loop_uv(world.loop), UV_RUN_NOWAIT);
        cwsd_box_stop(world.box, 0);
        box_end(&world);
        assert_int_equal(world.exited, world.running);
        assert_int_equal(world.exited ? 128 + SIGKILL : CWS_CANCELLED,
                         world.exited ? world.exit_code : (int)world.err.status);
    }
    world_close(&world);
}

static void test_init_is_killed(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    assert_int_equal(syscall(SYS_pidfd_send_signal, world.box->init.fd, SIGKILL, NULL, 0), 0);
    box_end(&world);
    assert_false(world.exited);
    assert_int_equal(world.err.status, CWS_SYSTEM);
    assert_non_null(strstr(world.err.text, "ended unexpectedly"));
    world_close(&world);
}

/* It is not needed once the box runs, and takes memory. */
static void test_bubblewrap_goes(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    RUN_UNTIL(&world, world.box->child.pid == 0 && !world.box->child.watch.busy);
    expect_script(&world, "echo alive", 0, "alive\n");
    cwsd_box_stop(world.box, 0);
    box_end(&world);
    assert_int_equal(world.exit_code, 128 + SIGKILL);
    assert_int_equal(world.err.status, CWS_OK);
    world_close(&world); /* the init is reaped, too */
}

/* From outside, and before it was done, or after. */
static void test_bubblewrap_is_killed(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    for (int round = 0; round < 60; round++) {
        const struct timespec moment = {.tv_nsec = round * 200000};
        box_start_script(&world, KEEP_ALIVE);
        int bubblewrap = world.box->child.pid;
        nanosleep(&moment, NULL); /* not to wait for anything: to come at another moment */
        kill(bubblewrap, SIGKILL);
        RUN_UNTIL(&world, world.running || world.gone);
        if (world.gone)
            assert_true(world.err.status == CWS_SYSTEM);
        else
            cwsd_box_stop(world.box, 0);
        box_end(&world);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody of it is left */
        assert_int_equal(errno, ECHILD);
    }
    world_close(&world);
}

/* ---- the daemon is killed ------------------------------------------------------------------- */

/* A daemon of its own: a box with background processes. */
static void live_and_let_die(const struct cwsd_host *with, const char *mark, int ready)
{
    struct box_world world;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)"setsid sleep 1000 & sleep 1000",
                    NULL};
    char *environment[] = {(char *)mark, NULL};
    world_open(&world, with);
    box_start(&world, &(struct cwsd_box_options){
                          .id = "test", .command = {argv, 3}, .environment = {environment, 1}});
    RUN_UNTIL(&world, world.running);
    if (write(ready, "r", 1) == 1)
        RUN_UNTIL(&world, false);
    _exit(1);
}

static void kill_daemon(const struct cwsd_host *with)
{
    int ready[2], pids[16], pidfds[16];
    char mark[80], byte;
    snprintf(mark, sizeof(mark), "MARK=%s", unique_name());
    assert_int_equal(pipe(ready), 0);
    pid_t daemon = fork();
    if (daemon == 0)
        live_and_let_die(with, mark, ready[1]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    size_t count;
    do /* the shell and its two children */
        count = find_marked(mark, pids, 16);
    while (count < 3);
    for (size_t i = 0; i < count; i++)
        pidfds[i] = open_pid(pids[i]);
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    for (size_t i = 0; i < count; i++)
        if (pidfds[i] >= 0)
            wait_gone(pidfds[i]);
    while (waitpid(-1, NULL, 0) > 0) /* returns only because all of it ends */
        ;
    assert_int_equal(errno, ECHILD);
    assert_int_equal(find_marked(mark, pids, 16), 0);
}

/* A daemon that is killed while its sandboxes are being made. */
static void test_daemon_is_killed_early(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int round = 0; round < 40; round++) {
        const struct timespec moment = {.tv_nsec = round * 200000};
        int ready[2];
        char byte;
        assert_int_equal(pipe(ready), 0);
        pid_t daemon = fork();
        if (daemon == 0) {
            struct box_world world;
            world_open(&world, round % 2 ? host : host_without_overlay);
            box_start_script(&world, KEEP_ALIVE);
            if (write(ready[1], "r", 1) == 1)
                RUN_UNTIL(&world, false);
            _exit(1);
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        nanosleep(&moment, NULL);
        kill(daemon, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0)
            ;
        assert_int_equal(errno, ECHILD);
    }
}

static void test_daemon_is_killed(void **state)
{
    (void)state;
    kill_daemon(host);
    kill_daemon(host_without_overlay);
}

static void test_daemon_without_isolation_is_killed(void **state)
{
    (void)state;
    kill_daemon(host_none);
}

/* ---- what is inside ------------------------------------------------------------------------- */

static void test_files_and_working_dir(void **state)
{
    static const struct cwsd_file files[] = {
        {"/etc/app/conf", (const uint8_t *)"hello", 5, 0664},
        {"/etc/hosts", (const uint8_t *)"", 0, 0},
        {"/usr/bin/env", (const uint8_t *)"#!/bin/sh\n", 10, 0751},
        {"/data/with\nnewline", (const uint8_t *)"\0\1", 2, 0444},
    };
    char *argv[] = {
        (char *)"/bin/sh", (char *)"-c",
        (char *)"set -e; [ \"$(cat /etc/app/conf)\" = hello ]; [ ! -s /etc/hosts ]; "
                "(echo x > /etc/app/conf) 2>/dev/null && exit 1; rm -f /etc/app/conf "
                "2>/dev/null && exit 2; [ \"$(head -n 1 /usr/bin/env)\" = '#!/bin/sh' ]; "
                "[ $PWD = /srv/deep/down ]; [ $(wc -c < \"$(printf '/data/with\\nnewline')\") "
                "= 2 ]; echo x > /etc/app/other; [ \"$(stat -c %a /etc/app/conf /etc/hosts "
                "/usr/bin/env | tr '\\n' ' ')\" = '664 0 751 ' ]",
        NULL};
    struct box_world world;
    (void)state;
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){.id = "test",
                                                 .command = {argv, 3},
                                                 .working_dir = "/srv/deep/down",
                                                 .files = files,
                                                 .file_count = CWS_ARRAY_LEN(files)});
    box_end(&world);
    assert_int_equal(world.err.status, CWS_OK);
    assert_int_equal(world.exit_code, 0);
    world_close(&world);
}

static void test_file_that_cannot_be_put(void **state)
{
    static const struct cwsd_file file = {"/etc/passwd/x", (const uint8_t *)"x", 1, 0444};
    char *argv[] = {(char *)"/bin/true", NULL};
    struct box_world world;
    (void)state;
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){
                          .id = "test", .command = {argv, 1}, .files = &file, .file_count = 1});
    box_end(&world);
    assert_false(world.running);
    assert_string_equal(world.err.text,
                        "cwsandbox-init, putting the file /etc/passwd/x: Not a directory");
    world_close(&world);
}

/* ---- nothing is left ------------------------------------------------------------------------ */

static void read_mounts(char *text, size_t size)
{
    int fd = open("/proc/self/mountinfo", O_RDONLY);
    ssize_t len = read(fd, text, size - 1);
    text[len > 0 ? len : 0] = '\0';
    close(fd);
}

static void test_nothing_is_left(void **state)
{
    static char before[65536], after[65536];
    struct box_world worlds[5];
    (void)state;
    read_mounts(before, sizeof(before));
    for (size_t i = 0; i < CWS_ARRAY_LEN(worlds); i++) {
        world_open(&worlds[i], host);
        box_start_script(&worlds[i], KEEP_ALIVE);
    }
    for (size_t i = CWS_ARRAY_LEN(worlds); i-- > 0;) {
        RUN_UNTIL(&worlds[i], worlds[i].running);
        cwsd_box_stop(worlds[i].box, 0);
        box_end(&worlds[i]);
        cws_loop_free(worlds[i].loop);
        assert_int_equal(count_entries("/proc/self/fd"), worlds[i].descriptors_before);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    read_mounts(after, sizeof(after));
    assert_string_equal(before, after);
}

static void test_each_allocation_fails(void **state)
{
    struct box_world world;
    char *argv[] = {(char *)"/bin/true", NULL};
    struct cwsd_box_options options = {.id = "test", .command = {argv, 1}};
    struct cws_error err;
    enum cws_status status = CWS_NO_MEMORY;
    (void)state;
    world_open(&world, host);
    for (size_t n = 1; status != CWS_OK; n++) {
        assert_int_equal(status, CWS_NO_MEMORY);
        assert_true(n < 200);
        cws_alloc_fail_at(n);
        status =
            cwsd_box_new(world.loop, host, &options, &box_world_events, &world, &world.box, &err);
    }
    cws_alloc_fail_at(0);
    box_end(&world);
    assert_int_equal(world.exit_code, 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_runs_and_stops),
        UNIT_TEST(test_idles_and_stops),
        UNIT_TEST(test_idle_end_takes_commands_along),
        UNIT_TEST(test_idle_where_it_cannot),
        UNIT_TEST(test_main_commands_exit_code),
        UNIT_TEST(test_main_command_that_cannot_run),
        UNIT_TEST(test_term_that_is_ignored),
        UNIT_TEST(test_stop_before_it_runs),
        UNIT_TEST(test_stop_at_every_moment_of_creation),
        UNIT_TEST(test_init_is_killed),
        UNIT_TEST(test_bubblewrap_goes),
        UNIT_TEST(test_bubblewrap_is_killed),
        UNIT_TEST(test_daemon_is_killed),
        UNIT_TEST(test_daemon_without_isolation_is_killed),
        UNIT_TEST(test_daemon_is_killed_early),
        UNIT_TEST(test_files_and_working_dir),
        UNIT_TEST(test_file_that_cannot_be_put),
        UNIT_TEST(test_nothing_is_left),
        UNIT_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
