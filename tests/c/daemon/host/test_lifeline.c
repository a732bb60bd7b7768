/* cwsandboxd/lifeline: the other end of a descriptor, as long as somebody holds it. */
#include "support/daemon_help.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/lifeline.h"
#include "support/peer.h"

static unsigned asked, lost;

static void on_asked(struct cwsd_lifeline *lifeline)
{
    (void)lifeline;
    asked++;
}

static void on_lost(struct cwsd_lifeline *lifeline)
{
    assert_int_equal(lifeline->watch.fd, -1);
    lost++;
}

/* A lifeline on ends[0]; its other end is ends[1]. */
static struct cws_loop *open_line(struct cwsd_lifeline *lifeline, bool by_socket, int ends[2])
{
    struct cws_error err;
    struct cws_loop *loop = loop_open();
    asked = lost = 0;
    *lifeline = (struct cwsd_lifeline){.watch.fd = -1, .asked = on_asked, .lost = on_lost};
    assert_int_equal(by_socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
    assert_int_equal(cwsd_lifeline_open(lifeline, loop, ends[0], &err), CWS_OK);
    return loop;
}

static void it_is_lost_with_the_last_holder(void **state)
{
    (void)state;
    for (int by_socket = 0; by_socket < 2; by_socket++) {
        struct cwsd_lifeline lifeline;
        int ends[2];
        struct cws_loop *loop = open_line(&lifeline, by_socket, ends);
        int other = dup(ends[1]);
        close(ends[1]);
        settle(loop);
        assert_int_equal(lost, 0);
        close(other);
        PUMP_UNTIL(loop, lost);
        settle(loop);
        assert_int_equal(lost, 1);
        assert_int_equal(asked, 0);
        assert_int_equal(cwsd_lifeline_release(&lifeline), -1);
        loop_close(loop);
    }
}

static void a_byte_asks_for_the_end(void **state)
{
    (void)state;
    for (int by_socket = 0; by_socket < 2; by_socket++) {
        struct cwsd_lifeline lifeline;
        int ends[2];
        struct cws_loop *loop = open_line(&lifeline, by_socket, ends);
        for (unsigned i = 1; i <= 2; i++) {
            assert_int_equal(write(ends[1], "e", 1), 1);
            PUMP_UNTIL(loop, asked == i);
        }
        assert_int_equal(lost, 0);
        close(cwsd_lifeline_release(&lifeline));
        settle(loop);
        close(ends[1]);
        loop_close(loop);
    }
}

static void its_end_is_seen_at_the_other(void **state)
{
    (void)state;
    struct cwsd_lifeline lifeline;
    int ends[2];
    char byte;
    struct cws_loop *loop = open_line(&lifeline, true, ends);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[1], &byte, 1), -1);
    assert_int_equal(cwsd_lifeline_release(&lifeline), ends[0]);
    settle(loop);
    assert_int_equal(read(ends[1], &byte, 1), -1); /* not before the process is gone */
    close(ends[0]);
    assert_int_equal(read(ends[1], &byte, 1), 0);
    close(ends[1]);
    loop_close(loop);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    struct cws_error err;
    struct cws_loop *loop = loop_open();
    struct cwsd_lifeline lifeline = {.watch.fd = -1};
    int fd = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(cwsd_lifeline_open(&lifeline, loop, fd, &err), CWS_SYSTEM);
    close(fd);
    assert_int_equal(cwsd_lifeline_release(&lifeline), -1);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(it_is_lost_with_the_last_holder),
        CWSD_TEST(a_byte_asks_for_the_end),
        CWSD_TEST(its_end_is_seen_at_the_other),
        CWSD_TEST(what_cannot_be_watched_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
