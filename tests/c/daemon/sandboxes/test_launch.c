/* cwsandboxd/launch: which of a spec's commands is run, and which the daemon stands in for. */
#include "support/daemon_help.h"

#include "sandboxes/launch.h"

#define T(text) ((char *)(text))

struct words {
    const char *words[4]; /* the command and its arguments */
};

static struct cwsd_launch launch_of(const struct words *words)
{
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    struct cwsd_launch launch;
    struct cwsd_fault fault;
    char *args[3];
    plain_spec(&spec, &container, containers);
    container.command = T(words->words[0]);
    container.args = args;
    for (; words->words[container.n_args + 1]; container.n_args++)
        args[container.n_args] = T(words->words[container.n_args + 1]);
    assert_true(cwsd_launch_init(&launch, "sb-1", &spec, &container, NULL, NULL, NULL, &fault));
    return launch;
}

static void test_nothing_to_run(void **state)
{
    (void)state;
    static const struct words nothing[] = {
        {{""}}, {{"/bin/sh", "-c", "trap \"exit 0\" TERM INT; sleep infinity & wait"}}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(nothing); i++) {
        struct cwsd_launch launch = launch_of(&nothing[i]);
        assert_int_equal(launch.options.command.count, 0);
        cwsd_launch_done(&launch);
    }
}

/* Whatever is not the keep-alive word for word is a command of the user's own. */
static void test_something_to_run(void **state)
{
    (void)state;
    static const struct words commands[] = {
        {{"true"}},
        {{"/bin/sh"}},
        {{"/bin/sh", "-c"}},
        {{"/bin/sh", "-c", "trap \"exit 0\" TERM INT; sleep infinity & wait "}},
        {{"/bin/sh", "-c", "trap \"exit 1\" TERM INT; sleep infinity & wait"}},
        {{"sh", "-c", "trap \"exit 0\" TERM INT; sleep infinity & wait"}},
        {{"/bin/sh", "-ec", "trap \"exit 0\" TERM INT; sleep infinity & wait"}},
        {{"tail", "-f", "/dev/null"}},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(commands); i++) {
        struct cwsd_launch launch = launch_of(&commands[i]);
        const struct cwsd_string_list *command = &launch.options.command;
        for (size_t j = 0; j < command->count; j++)
            assert_string_equal(command->items[j], commands[i].words[j]);
        assert_null(commands[i].words[command->count]);
        assert_null(command->items[command->count]);
        cwsd_launch_done(&launch);
    }
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    struct cwsd_launch launch;
    struct cwsd_fault fault;
    bool done = false;
    char *args[] = {T("-c"), T("exit 3")};
    plain_spec(&spec, &container, containers);
    container.command = T("/bin/sh");
    container.args = args;
    container.n_args = CWS_ARRAY_LEN(args);
    for (size_t n = 1; !done; n++) {
        assert_true(n < 20);
        cws_alloc_fail_at(n);
        done = cwsd_launch_init(&launch, "sb-1", &spec, &container, NULL, NULL, NULL, &fault);
        assert_true(done || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
    }
    cws_alloc_fail_at(0);
    assert_int_equal(launch.options.command.count, 3);
    cwsd_launch_done(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(test_nothing_to_run),
        CWSD_TEST(test_something_to_run),
        CWSD_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
