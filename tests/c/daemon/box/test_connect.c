/* Connections to ports inside a box. */
#include "support/box_hosts.h"

/* Answers what it is sent, until the end of it, and says when it listens. */
#define ECHO_SERVER(family, address) \
    "exec python3 -u -c '\nimport socket\n" \
    "s = socket.create_server((\"" address "\", 8000), family=socket." family ")\n" \
    "print(\"ready\")\n" \
    "c, _ = s.accept()\n" \
    "while data := c.recv(65536): c.sendall(data)\n" \
    "c.sendall(b\"end\")'"

/* Says what it has to say, ends its sending, and then reads to the end of what comes. */
#define LISTENER \
    "exec python3 -u -c '\nimport socket\n" \
    "s = socket.create_server((\"127.0.0.1\", 8000))\n" \
    "print(\"ready\")\n" \
    "c, _ = s.accept()\n" \
    "c.sendall(b\"over to you\")\n" \
    "c.shutdown(socket.SHUT_WR)\n" \
    "total = 0\n" \
    "while data := c.recv(65536): total += len(data)\n" \
    "print(total)'"

/* Ends its sending, and breaks the connection once something comes. */
#define BREAKER \
    "exec python3 -u -c '\nimport socket, struct\n" \
    "s = socket.create_server((\"127.0.0.1\", 8000))\n" \
    "print(\"ready\")\n" \
    "c, _ = s.accept()\n" \
    "c.shutdown(socket.SHUT_WR)\n" \
    "c.recv(1)\n" \
    "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(\"ii\", 1, 0))'"

static void open_server(struct exec_world *server, struct box_world *world, const char *script)
{
    exec_open_script(server, world, script, false);
    RUN_UNTIL(world, server->exited || strstr(text_of(&server->out), "ready"));
    assert_false(server->exited);
}

static void open_port(struct exec_world *run, struct box_world *world, uint16_t port)
{
    const struct cwsd_exec_options options = {.port = port};
    exec_open(run, world, &options);
}

static void passes_both_ways(const struct cwsd_host *where, const char *script)
{
    struct box_world world;
    struct exec_world server, run;
    box_open(&world, where);
    open_server(&server, &world, script);
    open_port(&run, &world, 8000);
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"hello ", 6), CWS_OK);
    RUN_UNTIL(&world, run.out.len == 6);
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(text_of(&run.out), "hello end");
    exec_wait(&server);
    exec_close(&run);
    exec_close(&server);
    box_close(&world);
}

static void test_bytes_go_both_ways(void **state)
{
    (void)state;
    passes_both_ways(host, ECHO_SERVER("AF_INET", "127.0.0.1"));
    passes_both_ways(host_without_overlay, ECHO_SERVER("AF_INET", "0.0.0.0"));
    passes_both_ways(host, ECHO_SERVER("AF_INET6", "::1"));
}

static void test_the_program_may_end_its_sending_alone(void **state)
{
    static const uint8_t much[100000];
    struct box_world world;
    struct exec_world server, run;
    (void)state;
    box_open(&world, host);
    open_server(&server, &world, LISTENER);
    open_port(&run, &world, 8000);
    RUN_UNTIL(&world, run.output_ended || run.exited);
    assert_false(run.exited);
    assert_string_equal(text_of(&run.out), "over to you");
    for (int i = 0; i < 10; i++)
        assert_int_equal(cwsd_exec_write(run.exec, much, sizeof(much)), CWS_OK);
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 0);
    exec_wait(&server);
    assert_string_equal(text_of(&server.out), "ready\n1000000\n");
    exec_close(&run);
    exec_close(&server);
    box_close(&world);
}

static void test_a_program_that_breaks_the_connection_ends_it(void **state)
{
    struct box_world world;
    struct exec_world server, run;
    (void)state;
    box_open(&world, host);
    open_server(&server, &world, BREAKER);
    open_port(&run, &world, 8000);
    RUN_UNTIL(&world, run.output_ended || run.exited);
    assert_false(run.exited);
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"x", 1), CWS_OK);
    exec_wait(&run); /* though its stdin is open */
    assert_int_equal(run.exit_code, 0);
    exec_wait(&server);
    exec_close(&run);
    exec_close(&server);
    box_close(&world);
}

static void test_nobody_listens(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    open_port(&run, &world, 8000);
    exec_wait(&run);
    assert_int_equal(run.exit_code, ECONNREFUSED);
    assert_false(run.output_ended);
    assert_int_equal(run.out.len, 0);
    exec_close(&run);
    box_close(&world);
}

static void test_connections_are_no_commands(void **state)
{
    struct box_world world;
    struct exec_world server, run;
    (void)state;
    box_open(&world, host);
    open_server(&server, &world, ECHO_SERVER("AF_INET", "127.0.0.1"));
    open_port(&run, &world, 8000);
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"x", 1), CWS_OK);
    RUN_UNTIL(&world, run.out.len == 1);
    assert_int_equal(cwsd_box_execs(world.box).running, 1);
    assert_int_equal(cwsd_box_execs(world.box).started, 1);
    exec_close(&run); /* given up: the server sees the end */
    exec_wait(&server);
    assert_int_equal(cwsd_box_execs(world.box).running, 0);
    exec_close(&server);
    box_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_the_program_may_end_its_sending_alone),
        cmocka_unit_test(test_a_program_that_breaks_the_connection_ends_it),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_connections_are_no_commands),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
