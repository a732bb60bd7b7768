/* What a command leaves in the background goes on writing to pipes that nobody reads any more. */

#include "support/box_hosts.h"

/* Three times what a pipe holds, to either; then a file says that it got so far. */
#define WRITE_MUCH(file) \
    "i=0; while [ $i -lt 1500 ]; do echo 0123456789012345678901234567890123456789012345678901234" \
    "56789012345678901234567890123456789012345678901234567890123456789012345678901234567 || " \
    "exit; " \
    "echo 01234567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
    " >&2 || exit; i=$((i+1)); done; : > " file

#define AWAIT(file) "until [ -e " file " ]; do sleep 0.01; done; "

static void test_background_output_is_discarded(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    unsigned descriptors = count_entries("/proc/self/fd");
    expect_script(&world, "(" AWAIT("/tmp/go") WRITE_MUCH("/tmp/written") ") & echo first", 0,
                  "first\n");
    expect_script(&world, ": > /tmp/go; " AWAIT("/tmp/written") "echo it is", 0, "it is\n");
    RUN_UNTIL(&world, count_entries("/proc/self/fd") <= descriptors);
    box_close(&world);
}

/* What left the process group of a command that is cancelled lives on, and may write. */
static void test_what_escapes_a_cancel_may_write(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world,
                     "setsid sh -c 'echo escaped; " AWAIT("/tmp/go")
                         WRITE_MUCH("/tmp/written") "' & sleep 1000",
                     false);
    RUN_UNTIL(&world, run.out.len);
    exec_close(&run);
    expect_script(&world, ": > /tmp/go; " AWAIT("/tmp/written"), 0, "");
    box_close(&world);
}

static void test_without_isolation(void **state)
{
    struct box_world world;
    char script[1000], path[100];
    (void)state;
    box_open(&world, host_none);
    snprintf(path, sizeof(path), "/tmp/%s", unique_name());
    snprintf(script, sizeof(script), "(" AWAIT("%s-go") WRITE_MUCH("%s") ") & echo first", path,
             path);
    expect_script(&world, script, 0, "first\n");
    snprintf(script, sizeof(script), ": > %s-go; " AWAIT("%s") "rm %s %s-go", path, path, path,
             path);
    expect_script(&world, script, 0, "");
    box_close(&world);
}

/* A second of writing as fast as it goes: the pipe's content now and then, not gigabytes. */
static void test_endless_output_is_held_back(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world,
                  "(" AWAIT("/tmp/go") "timeout -s INT 1 dd if=/dev/zero bs=64k 2> /tmp/rate; "
                                       ": > /tmp/done) & echo x",
                  0, "x\n");
    expect_script(&world,
                  ": > /tmp/go; until [ -e /tmp/done ]; do sleep 0.01; done; "
                  "[ $(sed -n 's/ bytes.*//p' /tmp/rate) -lt 100000000 ] || cat /tmp/rate",
                  0, "");
    box_close(&world);
}

/* Of more than there may be the newest are closed, as if nobody had taken them. */
static void test_too_many(void **state)
{
    enum { COMMANDS = CWSI_MAX_DRAINED / 2 + 10 };
    struct box_world world;
    char script[300];
    (void)state;
    box_open(&world, host);
    unsigned descriptors = count_entries("/proc/self/fd");
    for (unsigned i = 0; i < COMMANDS; i++) {
        snprintf(script, sizeof(script),
                 "(trap '' PIPE; until [ -e /tmp/go ]; do sleep 0.2; done; "
                 "echo x && echo x >&2 && : > /tmp/wrote-%u; : > /tmp/tried-%u) & echo %u > "
                 "/dev/null",
                 i, i, i);
        expect_script(&world, script, 0, "");
    }
    expect_script(&world, ": > /tmp/go", 0, "");
    snprintf(script, sizeof(script),
             "until set -- /tmp/tried-*; [ $# = %u ]; do sleep 0.05; done; set -- /tmp/wrote-*; "
             "echo $#; ls /tmp/wrote-0 /tmp/wrote-%u /tmp/wrote-%u",
             COMMANDS, CWSI_MAX_DRAINED / 2 - 1, CWSI_MAX_DRAINED / 2);
    char expected[100];
    snprintf(expected, sizeof(expected), "%u\n/tmp/wrote-0\n/tmp/wrote-%u\n", CWSI_MAX_DRAINED / 2,
             CWSI_MAX_DRAINED / 2 - 1);
    expect_script(&world, script, 2, expected);
    /* They have ended, and there is room again. */
    expect_script(&world, "(" AWAIT("/tmp/go-again") WRITE_MUCH("/tmp/again") ") & :", 0, "");
    expect_script(&world, ": > /tmp/go-again; until [ -e /tmp/again ]; do sleep 0.01; done", 0, "");
    RUN_UNTIL(&world, count_entries("/proc/self/fd") <= descriptors);
    box_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_background_output_is_discarded),
        UNIT_TEST(test_what_escapes_a_cancel_may_write),
        UNIT_TEST(test_without_isolation),
        UNIT_TEST(test_endless_output_is_held_back),
        UNIT_TEST(test_too_many),
    };
    return cmocka_run_group_tests(tests, probe_hosts_for_many, free_hosts);
}
