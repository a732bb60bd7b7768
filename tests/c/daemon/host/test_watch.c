/* cwsandboxd/watch: descriptors when the kernel has no watches left. */
#include "support/watch_refused.h"

#include "support/daemon_help.h"

#include "host/watch.h"
#include "support/peer.h"

static unsigned ready, closed;

static void on_ready(struct cwsd_watch *watch, int events)
{
    char byte;
    assert_true(events & UV_READABLE);
    if (read(watch->fd, &byte, 1) == 1)
        ready++;
}

static void on_closed(struct cwsd_watch *watch)
{
    assert_false(watch->busy);
    closed++;
}

/* Watching the reading end of a pipe; ends[1] is the other. */
static struct cws_loop *open_watch(struct cwsd_watch *watch, int ends[2])
{
    struct cws_error err;
    struct cws_loop *loop = loop_open();
    ready = closed = watches_refused = 0;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(cwsd_watch_open(loop, watch, ends[0], on_ready, &err), CWS_OK);
    return loop;
}

static void close_watch(struct cws_loop *loop, struct cwsd_watch *watch, int ends[2])
{
    cwsd_watch_close(watch, on_closed);
    PUMP_UNTIL(loop, closed);
    close(ends[1]);
    no_watches = false;
    loop_close(loop);
}

static void it_waits_for_a_watch(void **state)
{
    struct cwsd_watch watch;
    int ends[2];
    (void)state;
    struct cws_loop *loop = open_watch(&watch, ends);
    no_watches = true;
    cwsd_watch_for(&watch, UV_READABLE);
    assert_int_equal(write(ends[1], "x", 1), 1);
    PUMP_UNTIL(loop, watches_refused > 3);
    assert_int_equal(ready, 0);
    no_watches = false;
    PUMP_UNTIL(loop, ready);
    close_watch(loop, &watch, ends);
}

/* libuv lets go of a watch whenever something else is to be watched for. */
static void it_goes_on_after_a_pause(void **state)
{
    struct cwsd_watch watch;
    int ends[2];
    (void)state;
    struct cws_loop *loop = open_watch(&watch, ends);
    cwsd_watch_for(&watch, UV_READABLE);
    settle(loop);
    no_watches = true;
    cwsd_watch_for(&watch, 0);
    cwsd_watch_for(&watch, UV_READABLE | UV_WRITABLE);
    cwsd_watch_for(&watch, UV_READABLE);
    PUMP_UNTIL(loop, watches_refused > 3);
    no_watches = false;
    assert_int_equal(write(ends[1], "x", 1), 1);
    PUMP_UNTIL(loop, ready);
    close_watch(loop, &watch, ends);
}

static void it_can_be_closed_while_it_waits(void **state)
{
    struct cwsd_watch watch;
    int ends[2];
    (void)state;
    struct cws_loop *loop = open_watch(&watch, ends);
    no_watches = true;
    cwsd_watch_for(&watch, UV_READABLE);
    PUMP_UNTIL(loop, watches_refused);
    close_watch(loop, &watch, ends);
    assert_int_equal(ready, 0);
}

static void one_that_cannot_be_had_is_an_error(void **state)
{
    struct cwsd_watch watch;
    struct cws_error err;
    int ends[2];
    (void)state;
    struct cws_loop *loop = loop_open();
    assert_int_equal(pipe(ends), 0);
    no_watches = true;
    assert_int_equal(cwsd_watch_open(loop, &watch, ends[0], on_ready, &err), CWS_SYSTEM);
    no_watches = false;
    close(ends[0]);
    close(ends[1]);
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_a_watch),
        cmocka_unit_test(it_goes_on_after_a_pause),
        cmocka_unit_test(it_can_be_closed_while_it_waits),
        cmocka_unit_test(one_that_cannot_be_had_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
