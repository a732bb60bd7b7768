/* cwsandboxd/parent: the end of the process that started this one. */
#include "support/daemon_help.h"

#include <signal.h>
#include <sys/wait.h>

#include "host/parent.h"
#include "support/peer.h"

static void who_is_not_the_parent(void **state)
{
    (void)state;
    struct cws_loop *loop = loop_open();
    struct cwsd_parent parent = {0};
    struct cws_error err;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(cwsd_parent_watch(&parent, loop, child, NULL, NULL, &err), CWS_INVALID);
    waitpid(child, NULL, 0);
    assert_int_equal(cwsd_parent_watch(&parent, loop, child, NULL, NULL, &err), CWS_INVALID);
    assert_int_equal(cwsd_parent_watch(&parent, loop, getpid(), NULL, NULL, &err), CWS_INVALID);
    char number[16];
    snprintf(number, sizeof(number), "%d", (int)getpid());
    assert_non_null(strstr(err.text, number));
    cwsd_parent_stop(&parent);
    loop_close(loop);
}

static void never_called(void *ctx)
{
    (void)ctx;
    fail();
}

static void a_living_parent_is_left_alone(void **state)
{
    (void)state;
    struct cws_loop *loop = loop_open();
    struct cwsd_parent parent = {0};
    struct cws_error err;
    assert_int_equal(cwsd_parent_watch(&parent, loop, getppid(), never_called, NULL, &err), CWS_OK);
    settle(loop);
    cwsd_parent_stop(&parent);
    cwsd_parent_stop(&parent);
    loop_close(loop);
}

struct orphan {
    struct cws_loop *loop;
    int fd;
};

static void on_died(void *ctx)
{
    struct orphan *orphan = ctx;
    if (write(orphan->fd, "d", 1) == 1)
        cws_loop_stop(orphan->loop);
}

/* The process whose parent dies: says 'r' once it watches, and 'd' when it has heard. */
static void watch_until_it_dies(int fd)
{
    struct orphan orphan = {.fd = fd};
    struct cwsd_parent parent = {0};
    struct cws_error err;
    alarm(TEST_SECONDS);
    if (cws_loop_new(&orphan.loop, &err) != CWS_OK ||
        cwsd_parent_watch(&parent, orphan.loop, getppid(), on_died, &orphan, &err) != CWS_OK ||
        write(fd, "r", 1) != 1)
        _exit(1);
    cws_loop_run(orphan.loop);
    _exit(0);
}

static void a_killed_parent_is_heard_of(void **state)
{
    (void)state;
    int ends[2];
    char said;
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        close(ends[0]);
        if (fork() == 0)
            watch_until_it_dies(ends[1]);
        close(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &said, 1), 1);
    assert_int_equal(said, 'r');
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(ends[0], &said, 1), 1);
    assert_int_equal(said, 'd');
    assert_int_equal(read(ends[0], &said, 1), 0);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(who_is_not_the_parent),
        CWSD_TEST(a_living_parent_is_left_alone),
        CWSD_TEST(a_killed_parent_is_heard_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
