/* Commands in a box: what goes in and out of them, how they end, and what of them is left. */
#include "support/box_hosts.h"

static void open_argv(struct exec_world *run, struct box_world *world, const char *const *argv,
                      const char *working_dir)
{
    struct cwsd_exec_options options = {.command.items = (char **)argv, .working_dir = working_dir};
    while (argv[options.command.count])
        options.command.count++;
    exec_open(run, world, &options);
}

/* ---- output and exit ------------------------------------------------------------------------ */

static void test_output_and_exit_code(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "echo out; echo err >&2; exit 3", false);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 3);
    assert_string_equal(text_of(&run.out), "out\n");
    assert_string_equal(text_of(&run.complaints), "err\n");
    exec_close(&run);
    box_close(&world);
}

static void test_signals(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "kill -TERM $$", 128 + SIGTERM, "");
    expect_script(&world, "kill -PIPE $$", 128 + SIGPIPE, ""); /* ignored in the daemon */
    expect_script(&world, "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t0'", 0,
                  "SigBlk:\nSigIgn:\n");
    box_close(&world);
}

static void test_binary_output(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "head -c 3000000 /dev/zero; printf '\\377\\000x' >&2", false);
    exec_wait(&run);
    assert_int_equal(run.out.len, 3000000);
    assert_int_equal(run.complaints.len, 3);
    assert_memory_equal(cws_buf_bytes(&run.complaints), "\377\0x", 3);
    exec_close(&run);
    box_close(&world);
}

/* ---- what cannot be run --------------------------------------------------------------------- */

static void test_cannot_be_run(void **state)
{
    static const struct {
        const char *argv[3];
        const char *working_dir;
        int exit_code;
        const char *complaint;
    } cases[] = {
        {{"no-such"}, NULL, 127, "cwsandbox: no-such: No such file or directory\n"},
        {{"/no/such", "x"}, NULL, 127, "cwsandbox: /no/such: No such file or directory\n"},
        {{""}, NULL, 127, "cwsandbox: : No such file or directory\n"},
        {{"/etc/passwd"}, NULL, 126, "cwsandbox: /etc/passwd: Permission denied\n"},
        {{"/etc"}, NULL, 126, "cwsandbox: /etc: Permission denied\n"},
        {{"/etc/passwd/x"}, NULL, 126, "cwsandbox: /etc/passwd/x: Not a directory\n"},
        {{"/tmp/empty"}, NULL, 126, "cwsandbox: /tmp/empty: Exec format error\n"},
        {{"true"},
         "/no/where",
         126,
         "cwsandbox: cannot change to directory /no/where: No such file or directory\n"},
        {{"true"},
         "/etc/passwd",
         126,
         "cwsandbox: cannot change to directory /etc/passwd: Not a directory\n"},
    };
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "echo nothing > /tmp/empty; chmod +x /tmp/empty", 0, "");
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct exec_world run;
        open_argv(&run, &world, cases[i].argv, cases[i].working_dir);
        exec_wait(&run);
        assert_int_equal(run.exit_code, cases[i].exit_code);
        assert_string_equal(text_of(&run.complaints), cases[i].complaint);
        assert_int_equal(run.out.len, 0);
        exec_close(&run);
    }
    box_close(&world);
}

static void test_no_words(void **state)
{
    struct box_world world;
    struct cwsd_exec *exec;
    struct cws_error err;
    (void)state;
    box_open(&world, host);
    assert_int_equal(cwsd_exec_start(world.box, &(struct cwsd_exec_options){0}, &exec_world_events,
                                     NULL, &exec, &err),
                     CWS_INVALID);
    box_close(&world);
}

/* ---- input ---------------------------------------------------------------------------------- */

#define MEGABYTE (1024u * 1024)

/* Writes as a service does: more only when nothing is pending. */
static void feed(struct exec_world *run, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at += 32768) {
        size_t part = len - at < 32768 ? len - at : 32768;
        assert_int_equal(cwsd_exec_write(run->exec, data + at, part), CWS_OK);
        RUN_UNTIL(run->world, cwsd_exec_stdin_pending(run->exec) == 0 || run->exited);
    }
}

static void test_megabyte_through_cat(void **state)
{
    struct box_world world;
    struct exec_world run;
    uint8_t *data = test_malloc(MEGABYTE);
    (void)state;
    for (size_t i = 0; i < MEGABYTE; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    box_open(&world, host);
    exec_open_script(&run, &world, "exec cat", true);
    feed(&run, data, MEGABYTE);
    cwsd_exec_close_stdin(run.exec);
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.out.len, MEGABYTE);
    assert_memory_equal(cws_buf_bytes(&run.out), data, MEGABYTE);
    exec_close(&run);
    box_close(&world);
    test_free(data);
}

static void test_much_input_gets_a_larger_pipe(void **state)
{
    struct box_world world;
    struct exec_world run;
    uint8_t *data = test_calloc(1, MEGABYTE);
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "exec sleep 1000", true);
    /* In parts, too: the rest that the small pipe did not take. */
    assert_int_equal(cwsd_exec_write(run.exec, data, 50000), CWS_OK);
    assert_int_equal(cwsd_exec_stdin_pending(run.exec), 0);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE - 65536), CWS_OK);
    assert_int_equal(cwsd_exec_stdin_pending(run.exec), 0);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE), CWS_OK);
    assert_in_range(cwsd_exec_stdin_pending(run.exec), MEGABYTE - 65536, MEGABYTE - 1);
    exec_close(&run);
    box_close(&world);
    test_free(data);
}

static void test_large_pipes_are_few(void **state)
{
    enum { MOST = 16 };
    struct box_world world;
    struct exec_world runs[MOST + 1];
    uint8_t *data = test_calloc(1, MEGABYTE);
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i <= MOST; i++) {
        exec_open_script(&runs[i], &world, "until [ -e /tmp/go ]; do sleep 0.01; done", true);
        assert_int_equal(cwsd_exec_write(runs[i].exec, data, MEGABYTE), CWS_OK);
        assert_int_equal(cwsd_exec_stdin_pending(runs[i].exec), i < MOST ? 0 : MEGABYTE - 65536);
    }
    /* Those that have ended make room, and what was refused counts for nothing. */
    expect_script(&world, "touch /tmp/go", 0, "");
    for (size_t i = 0; i <= MOST; i++) {
        exec_wait(&runs[i]);
        exec_close(&runs[i]);
    }
    for (size_t i = 0; i <= MOST; i++) {
        exec_open_script(&runs[i], &world, "exec sleep 1000", true);
        assert_int_equal(cwsd_exec_write(runs[i].exec, data, MEGABYTE), CWS_OK);
        assert_int_equal(cwsd_exec_stdin_pending(runs[i].exec), i < MOST ? 0 : MEGABYTE - 65536);
    }
    for (size_t i = 0; i <= MOST; i++)
        exec_close(&runs[i]);
    box_close(&world);
    test_free(data);
}

static void test_back_pressure(void **state)
{
    enum { SIZE = 4 * MEGABYTE };
    struct box_world world;
    struct exec_world run, clock;
    uint8_t *data = test_calloc(1, SIZE);
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "exec cat", true);
    cwsd_exec_pause(run.exec, true);
    assert_int_equal(cwsd_exec_write(run.exec, data, SIZE), CWS_OK);
    cwsd_exec_close_stdin(run.exec);
    /* Two pipes' and a buffer's worth goes through while another command begins and ends; the rest
     * waits. */
    exec_open_script(&clock, &world, "true", false);
    exec_wait(&clock);
    exec_close(&clock);
    assert_int_equal(run.out.len, 0);
    assert_true(cwsd_exec_stdin_pending(run.exec) > SIZE / 2);
    cwsd_exec_pause(run.exec, false);
    exec_wait(&run);
    assert_int_equal(run.out.len, SIZE);
    assert_int_equal(run.drained, 1);
    exec_close(&run);
    box_close(&world);
    test_free(data);
}

static void test_input_nobody_reads(void **state)
{
    struct box_world world;
    struct exec_world run;
    uint8_t *data = test_calloc(1, MEGABYTE);
    (void)state;
    box_open(&world, host);
    /* It closes its stdin and goes on: what was pending is dropped, and told. */
    exec_open_script(&run, &world, "exec 0<&-; echo closed; sleep 1000", true);
    RUN_UNTIL(&world, run.out.len > 0);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE), CWS_OK);
    assert_int_equal(cwsd_exec_stdin_pending(run.exec), 0);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE), CWS_OK);
    exec_close(&run);
    /* It ends without reading. */
    exec_open_script(&run, &world, "exit 5", true);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE), CWS_OK);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 5);
    assert_int_equal(cwsd_exec_stdin_pending(run.exec), 0);
    assert_int_equal(cwsd_exec_write(run.exec, data, MEGABYTE), CWS_OK);
    cwsd_exec_close_stdin(run.exec);
    exec_close(&run);
    box_close(&world);
    test_free(data);
}

static void test_without_stdin(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "cat; readlink /proc/self/fd/0", 0, "/dev/null\n");
    exec_open_script(&run, &world, "cat", false);
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"x", 1), CWS_OK);
    exec_wait(&run);
    assert_int_equal(run.out.len, 0);
    exec_close(&run);
    box_close(&world);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void test_background_child_does_not_hold_up_the_exit(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "sleep 1000 & echo hi", 0, "hi\n");
    /* One that never stops writing. */
    exec_open_script(&run, &world, "yes & exit 4", false);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 4);
    exec_close(&run);
    box_close(&world);
}

static void test_exit_while_paused(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "head -c 50000 /dev/zero; : > /tmp/written; echo end >&2",
                     false);
    cwsd_exec_pause(run.exec, true);
    expect_script(&world, "until [ -e /tmp/written ]; do sleep 0.01; done", 0, "");
    expect_script(&world, "while pgrep -f /tmp/writte[n]; do :; done >&2", 0, "");
    assert_false(run.exited);
    cwsd_exec_pause(run.exec, false);
    exec_wait(&run);
    assert_int_equal(run.out.len, 50000);
    assert_string_equal(text_of(&run.complaints), "end\n");
    exec_close(&run);
    box_close(&world);
}

static void test_pause_from_inside(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "head -c 1000000 /dev/zero", false);
    run.pause_on_output = true;
    while (!run.exited) {
        size_t before = run.out.len;
        RUN_UNTIL(&world, run.out.len > before || run.exited);
        cwsd_exec_pause(run.exec, false);
    }
    assert_int_equal(run.out.len, 1000000);
    exec_close(&run);
    box_close(&world);
}

static void test_freed_from_inside(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    for (int i = 0; i < 20; i++) {
        exec_open_script(&run, &world, "echo x; sleep 1000", false);
        run.free_on_output = true;
        RUN_UNTIL(&world, !run.exec);
        exec_close(&run);
        exec_open_script(&run, &world, i % 2 ? "true" : "exec >&- 2>&-; exit 1", false);
        run.free_on_exit = true;
        RUN_UNTIL(&world, !run.exec);
        assert_int_equal(run.exit_code, i % 2 ? 0 : 1);
        exec_close(&run);
        exec_open_script(&run, &world, "true", false);
        exec_close(&run); /* before it started */
    }
    box_close(&world);
}

static void kill_group(const struct cwsd_host *with)
{
    struct box_world world;
    struct exec_world run;
    int pids[16], pidfds[16];
    char mark[80], script[200];
    snprintf(mark, sizeof(mark), "MARK=%s", unique_name());
    snprintf(script, sizeof(script),
             "export %s; sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & echo ready; wait", mark);
    box_open(&world, with);
    exec_open_script(&run, &world, script, true);
    RUN_UNTIL(&world, run.out.len > 0);
    size_t count;
    do /* the inner shell and two sleeps; the outer one began without the variable */
        count = find_marked(mark, pids, 16);
    while (count < 3);
    for (size_t i = 0; i < count; i++)
        pidfds[i] = open_pid(pids[i]);
    exec_close(&run);
    for (size_t i = 0; i < count; i++)
        wait_gone(pidfds[i]);
    expect_script(&world, "echo healthy", 0, "healthy\n");
    assert_false(world.exited);
    box_close(&world);
}

static void test_free_kills_the_process_group(void **state)
{
    (void)state;
    kill_group(host);
    kill_group(host_none);
}

static void test_box_ends_meanwhile(void **state)
{
    struct box_world world;
    struct exec_world run, paused, late;
    struct cws_error err;
    struct cwsd_exec *exec;
    char *argv[] = {(char *)"/bin/true", NULL};
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "echo partial; sleep 1000", true);
    exec_open_script(&paused, &world, "echo kept; sleep 1000", true);
    RUN_UNTIL(&world, run.out.len && paused.out.len);
    cwsd_exec_pause(paused.exec, true);
    exec_open_script(&late, &world, "sleep 1000", false); /* not even started */
    cwsd_box_stop(world.box, 0);
    assert_int_equal(cwsd_exec_start(world.box, &(struct cwsd_exec_options){.command = {argv, 1}},
                                     &exec_world_events, NULL, &exec, &err),
                     CWS_CLOSED);
    RUN_UNTIL(&world, world.gone && run.failed && late.failed);
    cwsd_box_free(world.box);
    assert_int_equal(run.err.status, CWS_CLOSED);
    assert_string_equal(text_of(&run.out), "partial\n");
    cwsd_exec_pause(paused.exec, false);
    RUN_UNTIL(&world, paused.failed);
    assert_string_equal(text_of(&paused.out), "kept\n");
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"x", 1), CWS_OK);
    exec_close(&run);
    exec_close(&paused);
    exec_close(&late);
    world_close(&world);
}

static void test_main_command_ends_meanwhile(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    world_open(&world, host);
    box_start_script(&world, "until [ -e /tmp/go ]; do sleep 0.01; done; exit 9");
    RUN_UNTIL(&world, world.running);
    exec_open_script(&run, &world, "echo before; : > /tmp/go; sleep 1000", false);
    box_end(&world);
    RUN_UNTIL(&world, run.failed);
    assert_int_equal(world.exit_code, 9);
    assert_int_equal(run.err.status, CWS_CLOSED);
    assert_string_equal(text_of(&run.out), "before\n");
    exec_close(&run);
    world_close(&world);
}

/* ---- memory, and large commands ------------------------------------------------------------- */

static void test_each_allocation_fails(void **state)
{
    struct box_world world;
    struct exec_world run = {0};
    char *argv[] = {(char *)"/bin/cat", NULL};
    char *environment[] = {(char *)"A=b", NULL};
    struct cwsd_exec_options options = {
        .command = {argv, 1}, .environment = {environment, 1}, .with_stdin = true};
    struct cws_error err;
    enum cws_status status = CWS_NO_MEMORY;
    (void)state;
    box_open(&world, host);
    run.world = &world;
    for (size_t n = 1; status != CWS_OK; n++) {
        assert_int_equal(status, CWS_NO_MEMORY);
        assert_true(n < 50);
        cws_alloc_fail_at(n);
        status = cwsd_exec_start(world.box, &options, &exec_world_events, &run, &run.exec, &err);
    }
    cws_alloc_fail_at(0);
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 0);
    exec_close(&run);
    box_close(&world);
}

/* ---- what a command is given ---------------------------------------------------------------- */

static void test_large_command(void **state)
{
    struct box_world world;
    struct exec_world run;
    static char word[100001];
    const char *argv[10] = {"/bin/sh", "-c", "echo $# ${#1}", "sh"};
    (void)state;
    memset(word, 'x', sizeof(word) - 1);
    for (int i = 4; i < 9; i++)
        argv[i] = word;
    box_open(&world, host);
    open_argv(&run, &world, argv, "/tmp");
    exec_wait(&run);
    assert_string_equal(text_of(&run.out), "5 100000\n");
    exec_close(&run);
    box_close(&world);
}

/* The daemon sends small ones another way than large ones. */
static void test_commands_around_the_size_of_a_packet(void **state)
{
    struct box_world world;
    struct exec_world run;
    char word[CWSI_MAX_INLINE + 200], expected[32];
    const char *argv[] = {"/bin/sh", "-c", "echo $# ${#1}", "sh", word, NULL};
    (void)state;
    box_open(&world, host);
    for (size_t len = CWSI_MAX_INLINE - 800; len < sizeof(word); len += 20) {
        memset(word, 'x', len);
        word[len] = '\0';
        snprintf(expected, sizeof(expected), "1 %zu\n", len);
        open_argv(&run, &world, argv, "/tmp");
        exec_wait(&run);
        assert_string_equal(text_of(&run.out), expected);
        exec_close(&run);
    }
    box_close(&world);
}

static void test_without_isolation(void **state)
{
    struct box_world world;
    int pids[4];
    char mark[80], script[200];
    (void)state;
    snprintf(mark, sizeof(mark), "MARK=%s", unique_name());
    box_open(&world, host_none);
    expect_script(&world, "echo $PPID > /dev/null; [ $HOME ] && [ $PATH ] && echo fine", 0,
                  "fine\n");
    /* It left our session and its parent; the box's end still ends it. */
    snprintf(script, sizeof(script), "%s setsid sleep 1000 > /dev/null 2>&1 &", mark);
    expect_script(&world, script, 0, "");
    while (find_marked(mark, pids, 4) == 0)
        ;
    int pidfd = open_pid(pids[0]);
    cwsd_box_stop(world.box, 0);
    box_end(&world);
    wait_gone(pidfd);
    world_close(&world);
}

/* ---- how many ------------------------------------------------------------------------------- */

static void expect_execs(const struct box_world *world, uint32_t running, uint64_t started)
{
    struct cwsd_box_execs execs = cwsd_box_execs(world->box);
    assert_int_equal(execs.running, running);
    assert_int_equal(execs.started, started);
}

static void test_they_are_counted(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    expect_execs(&world, 0, 0);
    expect_script(&world, "exit 3", 3, "");
    expect_execs(&world, 0, 1);
    /* Nobody waits for it any more; it counts until it has ended. */
    exec_open_script(&run, &world, "sleep infinity", false);
    expect_execs(&world, 0, 1);
    RUN_UNTIL(&world, run.started);
    exec_close(&run);
    expect_execs(&world, 1, 2);
    RUN_UNTIL(&world, cwsd_box_execs(world.box).running == 0);
    /* The sandbox ends under it. */
    exec_open_script(&run, &world, "sleep infinity", false);
    RUN_UNTIL(&world, run.started);
    expect_execs(&world, 1, 3);
    cwsd_box_stop(world.box, 0);
    RUN_UNTIL(&world, run.failed);
    expect_execs(&world, 0, 3);
    exec_close(&run);
    box_end(&world);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_output_and_exit_code),
        UNIT_TEST(test_signals),
        UNIT_TEST(test_binary_output),
        UNIT_TEST(test_cannot_be_run),
        UNIT_TEST(test_no_words),
        UNIT_TEST(test_megabyte_through_cat),
        UNIT_TEST(test_much_input_gets_a_larger_pipe),
        UNIT_TEST(test_large_pipes_are_few),
        UNIT_TEST(test_back_pressure),
        UNIT_TEST(test_input_nobody_reads),
        UNIT_TEST(test_without_stdin),
        UNIT_TEST(test_background_child_does_not_hold_up_the_exit),
        UNIT_TEST(test_exit_while_paused),
        UNIT_TEST(test_pause_from_inside),
        UNIT_TEST(test_freed_from_inside),
        UNIT_TEST(test_free_kills_the_process_group),
        UNIT_TEST(test_box_ends_meanwhile),
        UNIT_TEST(test_main_command_ends_meanwhile),
        UNIT_TEST(test_they_are_counted),
        UNIT_TEST(test_each_allocation_fails),
        UNIT_TEST(test_large_command),
        UNIT_TEST(test_commands_around_the_size_of_a_packet),
        UNIT_TEST(test_without_isolation),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
