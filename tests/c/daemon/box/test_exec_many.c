/* Hundreds of commands in a box: at once, one after the other, and when its init is slow or
 * gone. */
#include <sys/ioctl.h>
#include <time.h>

#include "support/box_hosts.h"

#define CONCURRENT 200

static void test_many_at_once(void **state)
{
    static struct exec_world runs[CONCURRENT];
    struct box_world world;
    char script[100], expected[20];
    (void)state;
    box_open(&world, host);
    /* None ends before all have begun. */
    for (unsigned i = 0; i < CONCURRENT; i++) {
        snprintf(script, sizeof(script), "read x; echo $x %u; exit %u", i, i % 200);
        exec_open_script(&runs[i], &world, script, true);
    }
    for (unsigned i = 0; i < CONCURRENT; i++)
        RUN_UNTIL(&world, runs[i].started);
    for (unsigned i = 0; i < CONCURRENT; i++)
        assert_int_equal(cwsd_exec_write(runs[i].exec, (const uint8_t *)"go\n", 3), CWS_OK);
    for (unsigned i = 0; i < CONCURRENT; i++) {
        exec_wait(&runs[i]);
        snprintf(expected, sizeof(expected), "go %u\n", i);
        assert_string_equal(text_of(&runs[i].out), expected);
        assert_int_equal(runs[i].exit_code, i % 200);
        exec_close(&runs[i]);
    }
    box_close(&world);
}

static void test_many_after_each_other(void **state)
{
    struct box_world world;
    unsigned descriptors = 0;
    (void)state;
    box_open(&world, host);
    for (int i = 0; i < 300; i++) {
        expect_script(&world, "echo x", 0, "x\n");
        if (i == 0)
            descriptors = count_entries("/proc/self/fd");
    }
    RUN_UNTIL(&world, count_entries("/proc/self/fd") <= descriptors);
    assert_true(world.box->slot_count <= 8);
    box_close(&world);
}

static void test_init_is_stopped_for_a_while(void **state)
{
    static struct exec_world runs[CONCURRENT * 2];
    struct box_world world;
    char *argv[] = {(char *)"/bin/true", NULL};
    (void)state;
    /* With its init asleep the socket fills up, and requests queue here. */
    box_open(&world, host);
    syscall(SYS_pidfd_send_signal, world.box->init.fd, SIGSTOP, NULL, 0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++)
        exec_open(&runs[i], &world, &(struct cwsd_exec_options){.command = {argv, 1}});
    assert_false(cws_list_is_empty(&world.box->line.queue));
    exec_close(&runs[0]);
    exec_close(&runs[CWS_ARRAY_LEN(runs) - 1]);
    syscall(SYS_pidfd_send_signal, world.box->init.fd, SIGCONT, NULL, 0);
    for (size_t i = 1; i + 1 < CWS_ARRAY_LEN(runs); i++) {
        exec_wait(&runs[i]);
        assert_int_equal(runs[i].exit_code, 0);
        exec_close(&runs[i]);
    }
    box_close(&world);
}

/* It ends with requests that it has not read, and more reports than are taken in one go. */
static void test_init_ends_with_much_unread(void **state)
{
    static struct exec_world runs[100];
    struct box_world world;
    char *argv[] = {(char *)"/bin/true", NULL};
    const struct timespec moment = {.tv_nsec = 1000000};
    int unread = 0;
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++)
        exec_open(&runs[i], &world, &(struct cwsd_exec_options){.command = {argv, 1}});
    do {
        nanosleep(&moment, NULL); /* each started and exited, and not read here */
        ioctl(world.box->line.watch.fd, FIONREAD, &unread);
    } while ((size_t)unread < 2 * CWS_ARRAY_LEN(runs) * sizeof(struct cwsi_report));
    syscall(SYS_pidfd_send_signal, world.box->init.fd, SIGSTOP, NULL, 0);
    cwsd_box_stop(world.box, 30000);
    syscall(SYS_pidfd_send_signal, world.box->init.fd, SIGKILL, NULL, 0);
    wait_gone(dup(world.box->init.fd));
    box_end(&world);
    for (size_t i = 0; i < CWS_ARRAY_LEN(runs); i++) {
        exec_wait(&runs[i]);
        exec_close(&runs[i]);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_many_at_once),
        UNIT_TEST(test_many_after_each_other),
        UNIT_TEST(test_init_is_stopped_for_a_while),
        UNIT_TEST(test_init_ends_with_much_unread),
    };
    return cmocka_run_group_tests(tests, probe_hosts_for_many, free_hosts);
}
