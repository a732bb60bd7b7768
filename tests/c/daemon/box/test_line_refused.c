/* What becomes of requests whose descriptors the kernel does not take, as too many of this user are
 * on their way already (the kernel is played). */
#include <errno.h>
#include <sys/socket.h>

#include "support/box_world.h"
#include "support/fake_clock.h"

#define PATIENCE_NS (5 * CWS_NS_PER_S)

static int refusing; /* the errno for messages with descriptors; 0: the kernel decides */

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    if (refusing && message->msg_controllen) {
        errno = refusing;
        return -1;
    }
    return syscall(SYS_sendmsg, socket, message, flags);
}

static struct cwsd_host *host;

static void advance(struct box_world *world, uint64_t ns)
{
    fake_clock_advance(world->loop, ns);
}

static struct cwsd_exec_options echo_options(void)
{
    static char *words[] = {(char *)"echo", (char *)"hello", NULL};
    return (struct cwsd_exec_options){.command = {words, 2}};
}

static void test_a_command_fails_after_a_while(void **state)
{
    static const int errors[] = {ETOOMANYREFS, ENOBUFS, ENOMEM};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(errors); i++) {
        struct box_world world;
        struct exec_world first, second;
        struct cwsd_exec_options options = echo_options();
        box_open(&world, host);
        refusing = errors[i];
        exec_open(&first, &world, &options);
        advance(&world, PATIENCE_NS - CWS_NS_PER_S);
        exec_open(&second, &world, &options);
        assert_false(first.failed);
        advance(&world, 2 * CWS_NS_PER_S);
        RUN_UNTIL(&world, first.failed);
        assert_int_equal(first.err.status, CWS_TOO_LARGE);
        assert_non_null(strstr(first.err.text, "too many on their way"));
        assert_non_null(strstr(first.err.text, strerror(errors[i])));
        assert_false(second.failed); /* it has not waited as long */
        refusing = 0;
        RUN_UNTIL(&world, second.exited);
        assert_int_equal(second.exit_code, 0);
        exec_close(&first);
        exec_close(&second);
        box_close(&world);
    }
}

/* What has waited is not given up at the first refusal. */
static void test_each_gets_its_time(void **state)
{
    struct box_world world;
    struct exec_world runs[3];
    struct cwsd_exec_options options = echo_options();
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++) {
        refusing = ETOOMANYREFS;
        exec_open(&runs[i], &world, &options);
        advance(&world, PATIENCE_NS - CWS_NS_PER_S);
        refusing = 0;
        RUN_UNTIL(&world, runs[i].exited || runs[i].failed);
        assert_true(runs[i].exited);
        exec_close(&runs[i]);
    }
    box_close(&world);
}

/* A kill carries no descriptors: it comes through, behind what does. */
static void test_a_kill_is_not_given_up(void **state)
{
    struct box_world world;
    struct exec_world running, waiting;
    char *words[] = {(char *)"sleep", (char *)"300", NULL};
    struct cwsd_exec_options sleep_options = {.command = {words, 2}};
    struct cwsd_exec_options options = echo_options();
    (void)state;
    box_open(&world, host);
    exec_open(&running, &world, &sleep_options);
    RUN_UNTIL(&world, running.started);
    refusing = ETOOMANYREFS;
    exec_open(&waiting, &world, &options);
    exec_close(&running); /* sends the kill */
    advance(&world, PATIENCE_NS + CWS_NS_PER_S);
    RUN_UNTIL(&world, waiting.failed);
    refusing = 0;
    exec_close(&waiting);
    box_close(&world); /* nothing is left of either */
}

/* What the init has not heard of needs no kill, and holds no descriptors. */
static void test_a_freed_command_is_withdrawn(void **state)
{
    struct box_world world;
    struct cwsd_exec_options options = echo_options();
    (void)state;
    box_open(&world, host);
    /* A descriptor of the start may outlast the box's "running", but not a command. */
    expect_script(&world, "echo hello", 0, "hello\n");
    unsigned before = count_entries("/proc/self/fd");
    refusing = ETOOMANYREFS;
    for (int i = 0; i < 3; i++) {
        struct exec_world run;
        exec_open(&run, &world, &options);
        exec_close(&run);
        uv_run(cws_loop_uv(world.loop), UV_RUN_NOWAIT);
        assert_true(count_entries("/proc/self/fd") <= before);
    }
    refusing = 0;
    expect_script(&world, "echo hello", 0, "hello\n");
    box_close(&world);
}

/* Nobody waits for an answer any more. */
static void test_a_freed_command_s_pipes_are_given_up_quietly(void **state)
{
    struct box_world world;
    struct exec_world run;
    char *words[] = {(char *)"sleep", (char *)"300", NULL};
    struct cwsd_exec_options options = {.command = {words, 2}};
    (void)state;
    box_open(&world, host);
    exec_open(&run, &world, &options);
    RUN_UNTIL(&world, run.started);
    refusing = ETOOMANYREFS;
    exec_close(&run);
    advance(&world, PATIENCE_NS + CWS_NS_PER_S);
    refusing = 0;
    box_close(&world);
}

static void test_a_sandbox_fails_after_a_while(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host);
    refusing = ETOOMANYREFS;
    box_start_script(&world, KEEP_ALIVE);
    advance(&world, PATIENCE_NS - CWS_NS_PER_S);
    assert_false(world.gone);
    advance(&world, 2 * CWS_NS_PER_S);
    box_end(&world);
    refusing = 0;
    assert_int_equal(world.err.status, CWS_TOO_LARGE);
    assert_non_null(strstr(world.err.text, "too many on their way"));
    world_close(&world);
}

static int set_up(void **state)
{
    (void)state;
    host = probe_host(CWSD_ISOLATION_OVERLAY);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cwsd_host_free(host);
    return 0;
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_command_fails_after_a_while),
    UNIT_TEST(test_each_gets_its_time),
    UNIT_TEST(test_a_kill_is_not_given_up),
    UNIT_TEST(test_a_freed_command_is_withdrawn),
    UNIT_TEST(test_a_freed_command_s_pipes_are_given_up_quietly),
    UNIT_TEST(test_a_sandbox_fails_after_a_while),
};

int main(void)
{
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
