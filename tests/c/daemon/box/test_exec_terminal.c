/* Commands with a terminal: what goes in and out, and what is left when nobody is at it any more.
 * What a terminal is for programs is tested with a client, in tests/conformance. */
#include <sys/syscall.h>

#include "box/box_private.h"
#include "support/box_hosts.h"

static const struct cwsd_exec_size size = {100, 30};

static void terminal_open(struct exec_world *run, struct box_world *world, const char *script)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    exec_open(run, world, &(struct cwsd_exec_options){.command = {argv, 3}, .terminal = &size});
}

static void wait_for(struct exec_world *run, const char *text)
{
    RUN_UNTIL(run->world, strstr(text_of(&run->out), text) || run->exited || run->failed);
    assert_false(run->exited || run->failed);
}

static void write_text(struct exec_world *run, const char *text)
{
    assert_int_equal(cwsd_exec_write(run->exec, (const uint8_t *)text, strlen(text)), CWS_OK);
}

static void check_in_and_out(const struct cwsd_host *on)
{
    struct box_world world;
    struct exec_world run;
    box_open(&world, on);
    terminal_open(&run, &world,
                  "stty size; echo $TERM; echo err >&2; read line; stty size; echo $line; exit 3");
    wait_for(&run, "err\r\n");
    cwsd_exec_resize(run.exec, &(struct cwsd_exec_size){1, 1}); /* two at once: the last counts */
    cwsd_exec_resize(run.exec, &(struct cwsd_exec_size){65535, 200});
    write_text(&run, "hello\n");
    exec_wait(&run);
    assert_int_equal(run.exit_code, 3);
    assert_string_equal(text_of(&run.out), "30 100\r\nxterm-256color\r\nerr\r\n"
                                           "hello\r\n200 65535\r\nhello\r\n");
    assert_int_equal(run.complaints.len, 0);
    exec_close(&run);
    box_close(&world);
}

static void test_in_and_out(void **state)
{
    (void)state;
    check_in_and_out(host);
    check_in_and_out(host_without_overlay);
    check_in_and_out(host_none);
}

static void signal_init(struct box_world *world, int signal)
{
    assert_int_equal(syscall(SYS_pidfd_send_signal, world->box->init.fd, signal, NULL, 0), 0);
}

/* Input goes another way than sizes, one that leads past a slow init. */
static void test_input_after_a_size_comes_after_it(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    terminal_open(&run, &world, "stty -echo; echo on; while read line; do stty size; done; exit 3");
    wait_for(&run, "on\r\n");
    signal_init(&world, SIGSTOP);
    cwsd_exec_resize(run.exec, &(struct cwsd_exec_size){80, 25});
    write_text(&run, "one\n");
    cwsd_exec_resize(run.exec, &(struct cwsd_exec_size){90, 26});
    write_text(&run, "two\n");
    cwsd_exec_close_stdin(run.exec);
    usleep(200000); /* only a fault needs this time: input that comes first */
    signal_init(&world, SIGCONT);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 3);
    assert_string_equal(text_of(&run.out), "on\r\n26 90\r\n26 90\r\n");
    exec_close(&run);
    box_close(&world);
}

static void test_term_of_the_environment(void **state)
{
    struct box_world world;
    struct exec_world run;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)"echo $TERM", NULL};
    char *environment[] = {(char *)"TERM=dumb", NULL};
    (void)state;
    box_open(&world, host);
    exec_open(&run, &world,
              &(struct cwsd_exec_options){
                  .command = {argv, 3}, .environment = {environment, 1}, .terminal = &size});
    exec_wait(&run);
    assert_string_equal(text_of(&run.out), "dumb\r\n");
    exec_close(&run);
    box_close(&world);
}

static void test_end_of_input_is_typed(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    terminal_open(&run, &world, "stty -echo; echo on; cat; echo after");
    wait_for(&run, "on\r\n");
    write_text(&run, "line\n");
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_string_equal(text_of(&run.out), "on\r\nline\r\nafter\r\n");
    assert_int_equal(run.exit_code, 0);
    exec_close(&run);
    box_close(&world);
}

/* The relay may not end before what it has read has gone on. */
static void test_held_back_until_after_the_end(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    terminal_open(&run, &world,
                  "stty raw; head -c 300000 /dev/zero | tr '\\0' x; : > /tmp/trapped; exit 5");
    run.pause_on_output = true;
    RUN_UNTIL(&world, run.out.len);
    run.pause_on_output = false;
    cwsd_exec_pause(run.exec, false);
    exec_wait(&run);
    assert_int_equal(run.out.len, 300000);
    assert_int_equal(run.exit_code, 5);
    exec_close(&run);
    box_close(&world);
}

static void test_hang_up(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    terminal_open(&run, &world, "echo on; exec sleep 1000");
    wait_for(&run, "on\r\n");
    cwsd_exec_hang_up(run.exec);
    cwsd_exec_hang_up(run.exec);
    cwsd_exec_resize(run.exec, &size); /* too late, and harmless */
    write_text(&run, "too late");
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 128 + SIGHUP);
    exec_close(&run);
    box_close(&world);
}

static void test_who_ignores_a_hang_up_is_killed(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    terminal_open(&run, &world, "trap '' HUP; echo on; while :; do sleep 0.1; done");
    wait_for(&run, "on\r\n");
    cwsd_exec_hang_up(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 128 + SIGKILL);
    exec_close(&run);
    box_close(&world);
}

/* Freed is hung up, at whatever stage; box_close finds what is left. */
static void test_freed(void **state)
{
    static const char *const scripts[] = {"exec sleep 1000", "exec cat", "yes",
                                          "trap '' HUP; while :; do sleep 1; done"};
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(scripts); i++) {
        terminal_open(&run, &world, scripts[i]); /* not sent, or not started */
        exec_close(&run);
        terminal_open(&run, &world, scripts[i]);
        RUN_UNTIL(&world, run.started);
        write_text(&run, "text\n");
        exec_close(&run);
    }
    expect_script(&world, "until [ \"$(ls /dev/pts)\" = ptmx ]; do sleep 0.01; done", 0, "");
    box_close(&world);
}

static void test_box_ends_meanwhile(void **state)
{
    struct box_world world;
    struct exec_world runs[2];
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++) {
        terminal_open(&runs[i], &world, "echo on; exec sleep 1000");
        wait_for(&runs[i], "on\r\n");
    }
    cwsd_exec_hang_up(runs[0].exec);
    cwsd_box_stop(world.box, 0);
    RUN_UNTIL(&world, runs[0].failed || runs[0].exited);
    RUN_UNTIL(&world, runs[1].failed || runs[1].exited);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++)
        exec_close(&runs[i]);
    box_end(&world);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_in_and_out),
        UNIT_TEST(test_input_after_a_size_comes_after_it),
        UNIT_TEST(test_term_of_the_environment),
        UNIT_TEST(test_end_of_input_is_typed),
        UNIT_TEST(test_held_back_until_after_the_end),
        UNIT_TEST(test_hang_up),
        UNIT_TEST(test_who_ignores_a_hang_up_is_killed),
        UNIT_TEST(test_freed),
        UNIT_TEST(test_box_ends_meanwhile),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
