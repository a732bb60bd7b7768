/* host/egress_stack: the life of the user-mode network stack, which a script plays. */
#include "support/played_programs.h"

#include "host/egress_stack.h"
#include "support/failing.h"

static struct {
    struct cws_loop *loop;
    struct cwsd_egress_stack_options options;
    struct cwsd_egress_stack *stack;
    unsigned descriptors, ready, ended;
    char why[256];
} world;

static void on_ready(void *ctx)
{
    assert_ptr_equal(ctx, &world);
    assert_int_equal(world.ready + world.ended, 0);
    world.ready++;
}

static void on_end(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &world);
    assert_int_equal(world.ended, 0);
    world.ended++;
    snprintf(world.why, sizeof(world.why), "%s", why);
}

static int set_up(void **state)
{
    if (own_folder_make(state))
        return -1;
    memset(&world, 0, sizeof(world));
    world.descriptors = count_descriptors();
    world.loop = loop_open();
    int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(namespace >= 0);
    world.options = (struct cwsd_egress_stack_options){.loop = world.loop,
                                                       .init_path = played_init(),
                                                       .user_namespace = namespace,
                                                       .network_namespace = namespace,
                                                       .on_ready = on_ready,
                                                       .on_end = on_end,
                                                       .ctx = &world};
    return 0;
}

/* The loop ends once nothing of the stack is left. */
static int tear_down(void **state)
{
    const unsigned ready = world.ready, ended = world.ended;
    cwsd_egress_stack_stop(world.stack);
    loop_close(world.loop);
    assert_int_equal(world.ready, ready);
    assert_int_equal(world.ended, ended);
    close(world.options.user_namespace);
    assert_int_equal(count_descriptors(), world.descriptors);
    assert_no_children();
    return own_folder_remove(state);
}

#define STACK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void start(const char *script)
{
    struct cws_error err;
    world.options.program = played_program("slirp", script);
    if (cwsd_egress_stack_start(&world.options, &world.stack, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(world.ready + world.ended, 0);
}

/* ---- its life ------------------------------------------------------------------------------- */

static void ready_until_it_is_stopped(void **state)
{
    (void)state;
    start("readlink /proc/self/fd/4 /proc/self/fd/5 > \"$0.in\"; printf 1 >&3; exec sleep 1000");
    PUMP_UNTIL(world.loop, world.ready);
    assert_int_equal(strncmp(played_read("slirp.in"), "net:[", 5), 0);
    assert_non_null(strstr(played_text, "\nnet:["));
    assert_non_null(strstr(played_read("slirp.runs"), "--configure --mtu=65520"));
    assert_non_null(strstr(played_text, "/proc/self/fd/5 eth0\n"));
    settle(world.loop);
    assert_int_equal(world.ended, 0);
}

static void it_ends_before_it_is_ready(void **state)
{
    (void)state;
    start("printf 'no tap\\033device\\nsorry\\n\\n' >&2; exit 1");
    PUMP_UNTIL(world.loop, world.ended);
    assert_int_equal(world.ready, 0);
    assert_string_equal(world.why, "no tap?device;sorry");
}

static void it_ends_later(void **state)
{
    (void)state;
    int go = played_wait("slirp");
    start("printf 1 >&3; exec 3>&-; read -r line < \"$0.waits\"; echo bye >&2");
    played_go_on(go);
    PUMP_UNTIL(world.loop, world.ready);
    played_go_on(go);
    PUMP_UNTIL(world.loop, world.ended);
    assert_string_equal(world.why, "bye");
    close(go);
}

static void it_ends_in_silence(void **state)
{
    (void)state;
    start("exit 3");
    PUMP_UNTIL(world.loop, world.ended);
    assert_string_equal(world.why, "it ended with exit code 3");
}

static void it_is_killed(void **state)
{
    (void)state;
    start("printf 1 >&3; kill -9 $$");
    PUMP_UNTIL(world.loop, world.ended);
    assert_string_equal(world.why, "it was killed by signal 9");
}

/* What does not fit is lost; the program does not stand still for it. */
static void it_says_more_than_anybody_reads(void **state)
{
    (void)state;
    start("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1");
    PUMP_UNTIL(world.loop, world.ended);
    assert_int_equal(strlen(world.why), 199);
}

/* It has let go of what says that it is ready, and never will be. */
static void it_goes_on_without_getting_ready(void **state)
{
    (void)state;
    int go = played_wait("slirp");
    start("exec 3>&-; echo closed > \"$0.in\"; read -r line < \"$0.waits\"");
    played_go_on(go);
    while (played_read("slirp.in")[0] == '\0')
        pump(world.loop);
    settle(world.loop);
    assert_int_equal(world.ready + world.ended, 0);
    played_go_on(go);
    PUMP_UNTIL(world.loop, world.ended);
    assert_int_equal(world.ready, 0);
    close(go);
}

/* ---- stopped -------------------------------------------------------------------------------- */

static void stopped_at_once(void **state)
{
    (void)state;
    start("printf 1 >&3; echo bye >&2; exit 1"); /* tear_down stops it */
}

static void stopped_when_it_has_ended(void **state)
{
    (void)state;
    start("exit 1");
    PUMP_UNTIL(world.loop, world.ended);
    cwsd_egress_stack_stop(world.stack);
    world.stack = NULL;
    cwsd_egress_stack_stop(NULL);
    settle(world.loop);
}

/* ---- that cannot start ---------------------------------------------------------------------- */

static void without_the_init(void **state)
{
    (void)state;
    struct cws_error err;
    world.options.init_path = "/nowhere/cwsandbox-init";
    world.options.program = "/nowhere/slirp4netns";
    assert_int_equal(cwsd_egress_stack_start(&world.options, &world.stack, &err), CWS_SYSTEM);
    assert_null(world.stack);
}

static void without_memory(void **state)
{
    (void)state;
    struct cws_error err;
    world.options.program = played_program("slirp", "exec sleep 1000");
    for (size_t n = 1, more = true; more; n++) {
        cws_alloc_fail_at(n);
        enum cws_status status = cwsd_egress_stack_start(&world.options, &world.stack, &err);
        more = failing_was_reached(n);
        assert_int_equal(status == CWS_OK, world.stack != NULL);
        cwsd_egress_stack_stop(world.stack);
        world.stack = NULL;
        settle(world.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STACK_TEST(ready_until_it_is_stopped),
        STACK_TEST(it_ends_before_it_is_ready),
        STACK_TEST(it_ends_later),
        STACK_TEST(it_ends_in_silence),
        STACK_TEST(it_is_killed),
        STACK_TEST(it_says_more_than_anybody_reads),
        STACK_TEST(it_goes_on_without_getting_ready),
        STACK_TEST(stopped_at_once),
        STACK_TEST(stopped_when_it_has_ended),
        STACK_TEST(without_the_init),
        STACK_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, played_programs_begin, NULL);
}
