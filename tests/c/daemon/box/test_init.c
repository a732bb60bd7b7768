/* The init of a box as its commands and the kernel see it. */
#include <linux/capability.h>

#include "support/box_hosts.h"

static void test_nothing_inside_can_end_the_init(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world, "kill -KILL 1; kill -HUP 1; kill -STOP 1; echo alive", 0, "alive\n");
    expect_script(&world, "cat /proc/1/environ /proc/1/maps 2>/dev/null; readlink /proc/1/exe", 1,
                  "");
    /* Every process but itself and the init; the main command is one of them, when there is one. */
    struct exec_world run;
    exec_open_script(&run, &world, "kill -KILL -1", false);
    box_end(&world);
    assert_int_equal(world.exit_code, 128 + SIGKILL);
    RUN_UNTIL(&world, run.failed || run.exited);
    exec_close(&run);
    world_close(&world);
}

/* TERM and INT to PID 1 are the main command's, or end the box as it would that has none. */
static void test_signals_to_pid_1(void **state)
{
    static const struct {
        const char *main, *signal;
        int exit_code;
    } cases[] = {
        {NULL, "TERM", 0},
        {NULL, "INT", 0},
        {"trap 'exit 7' TERM; : > /tmp/trapped; sleep infinity & wait", "TERM", 7},
        {"trap 'exit 8' INT; : > /tmp/trapped; sleep infinity & wait", "INT", 8},
        {": > /tmp/trapped; exec sleep infinity", "TERM", 128 + SIGTERM},
    };
    struct box_world world;
    struct exec_world run;
    char script[100];
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        world_open(&world, host);
        if (cases[i].main) {
            box_start_script(&world, cases[i].main);
            RUN_UNTIL(&world, world.running);
            expect_script(&world, AWAIT_TRAP, 0, "");
        } else {
            box_start(&world, &(struct cwsd_box_options){.id = "test"});
            RUN_UNTIL(&world, world.running);
        }
        snprintf(script, sizeof(script), "kill -%s 1; sleep infinity", cases[i].signal);
        exec_open_script(&run, &world, script, false);
        box_end(&world);
        assert_int_equal(world.exit_code, cases[i].exit_code);
        assert_int_equal(world.err.status, CWS_OK);
        RUN_UNTIL(&world, run.failed);
        exec_close(&run);
        world_close(&world);
    }
}

static bool has_resource_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    return data[0].effective & 1u << CAP_SYS_RESOURCE;
}

/* The kernel takes a sandbox before the host's programs, this one among them. */
static void test_oom_score(void **state)
{
    const struct cwsd_host *const with[] = {host, host_without_overlay, host_none};
    struct box_world world;
    char own[20] = "", expected[20];
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    (void)state;
    assert_true(read(fd, own, sizeof(own) - 1) > 0);
    close(fd);
    snprintf(expected, sizeof(expected), "%d\n", atoi(own) > 500 ? 1000 : atoi(own) + 500);
    for (size_t i = 0; i < CWS_ARRAY_LEN(with); i++) {
        box_open(&world, with[i]);
        expect_script(&world, "cat /proc/self/oom_score_adj", 0, expected);
        /* The kernel lets it be lowered to what somebody with this capability set last. */
        if (with[i]->users && has_resource_capability())
            expect_script(&world, "echo 0 > /proc/self/oom_score_adj", 1, "");
        box_close(&world);
    }
}

static void test_idle_init_is_small(void **state)
{
    struct box_world world;
    (void)state;
    box_open(&world, host);
    expect_script(&world,
                  "[ $(sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/1/status) -lt 200 ]", 0,
                  "");
    box_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_nothing_inside_can_end_the_init),
        UNIT_TEST(test_signals_to_pid_1),
        UNIT_TEST(test_oom_score),
        UNIT_TEST(test_idle_init_is_small),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
