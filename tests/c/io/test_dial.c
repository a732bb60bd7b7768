/* io/dial: the way to a connection, its failures, and giving up on it anywhere. */
#include "support/dial_world.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifdef __has_feature
#define UNDER_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

/* --- straight ways --- */

static void test_ip_literals(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = f->port});
    exchange(f);
    disconnect(f);
    cws_listener_free(f->listener);
    f->listener = NULL;
    listen_on(f, "::1");
    dial(f, (struct cws_dial_options){.host = "::1", .port = f->port});
    exchange(f);
    disconnect(f);
    dial(f, (struct cws_dial_options){.host = "::1%lo", .port = f->port});
    exchange(f);
    assert_false(resolver_asked());
}

static int option_of(struct fixture *f, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    uv_os_fd_t fd;
    struct cws_sock *sock = (struct cws_sock *)f->client.transport;
    assert_int_equal(uv_fileno((uv_handle_t *)cws_sock_stream(sock), &fd), 0);
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void test_a_host_that_vanishes_is_noticed(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = f->port});
    assert_int_equal(option_of(f, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(f, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(option_of(f, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(option_of(f, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
}

static void test_unix_socket(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/cws-dial-XXXXXX", path[64], endless[200];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    struct cws_listen_options options = {.unix_path = path};
    assert_int_equal(cws_listener_new(f->loop, &options, on_accept, f, &f->listener, NULL), CWS_OK);
    dial(f, (struct cws_dial_options){.unix_path = path});
    exchange(f);
    assert_int_equal(option_of(f, SOL_SOCKET, SO_KEEPALIVE), 0); /* there is no host to vanish */
    disconnect(f);
    cws_listener_free(f->listener);
    f->listener = NULL;
    char text[128];
    snprintf(text, sizeof(text), "cannot connect to %s: no such file or directory", path);
    dial(f, (struct cws_dial_options){.unix_path = path});
    expect_error(f, CWS_CONNECT, text);
    disconnect(f);
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    dial(f, (struct cws_dial_options){.unix_path = endless});
    expect_error(f, CWS_INVALID, "a socket's path has 1 to 107 bytes");
    rmdir(dir);
}

/* What libuv has no watcher for yet must not come to it as an event: it would abort. That goes for
 * a descriptor whose connect(2) has failed at once, if it is higher than any that was watched. */
static void test_unix_socket_on_the_highest_descriptor(void **state)
{
    struct fixture *f = *state;
    int fds[1024];
    size_t count = 0;
    int wanted = (int)cws_loop_uv(f->loop)->nwatchers;
    while (count < CWS_ARRAY_LEN(fds)) {
        fds[count] = dup(STDERR_FILENO);
        assert_true(fds[count] >= 0);
        if (fds[count++] >= wanted)
            break;
    }
    close(fds[--count]); /* the next one to be opened */
    dial(f, (struct cws_dial_options){.unix_path = "/nobody/listens/here"});
    expect_error(f, CWS_CONNECT, "cannot connect to /nobody/listens/here");
    while (count)
        close(fds[--count]);
}

/* connect(2) to a Unix socket with a full backlog fails at once: the dial asks again. */
static void test_unix_socket_with_full_backlog(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/cws-dial-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
    int server = socket(AF_UNIX, SOCK_STREAM, 0), filler;
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(server, 0), 0);
    filler = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(filler, (struct sockaddr *)&addr, sizeof(addr)), 0);

    dial(f, (struct cws_dial_options){.unix_path = addr.sun_path, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while connecting");
    disconnect(f);
    start(f, (struct cws_dial_options){.unix_path = addr.sun_path});
    settle(f->loop);
    assert_false(f->done);
    close(accept(server, NULL, NULL));
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, CWS_OK);
    close(filler);
    close(server);
    unlink(addr.sun_path);
    rmdir(dir);
}

static void test_name(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = f->port});
    exchange(f);
}

static void test_tls(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    use_tls(f);
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = f->port});
    exchange(f);
    disconnect(f);
    char text[128];
    snprintf(text, sizeof(text),
             "cannot connect to 127.0.0.1:%u: certificate verify failed: IP address mismatch",
             f->port);
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = f->port});
    expect_error(f, CWS_TLS, text);
}

/* --- addresses in turn --- */

static void test_next_address_after_a_refusal(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(closed_port());
    resolver_add(closed_port());
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
}

static void test_next_address_beside_a_silent_one(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    listen_on(f, "127.0.0.1");
    resolver_add(hole.port);
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
    black_hole_close(&hole);
}

static void test_address_that_cannot_be_tried(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(f->port);
    resolver_add(f->port);
    resolver.addresses[0].sin_addr.s_addr = htonl(INADDR_BROADCAST); /* fails at once */
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
}

static void test_all_addresses_refuse(void **state)
{
    struct fixture *f = *state;
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 50051});
    expect_error(f, CWS_CONNECT, "cannot connect to sandbox.test:50051: connection refused");
    assert_null(strstr(f->err.text, "addresses"));
    disconnect(f);
    resolver_add(closed_port());
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 50051});
    expect_error(f, CWS_CONNECT,
                 "sandbox.test:50051: connection refused (the last of 3 addresses)");
    disconnect(f);
    dial(f, (struct cws_dial_options){.host = "::1", .port = closed_port()});
    expect_error(f, CWS_CONNECT, "cannot connect to [::1]:");
}

static void test_refusals_beside_a_silent_address(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    resolver_add(hole.port);
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test",
                                      .port = 1,
                                      .deadline_ns = cws_clock_now_ns() + 600 * CWS_NS_PER_MS});
    expect_error(f, CWS_TIMED_OUT,
                 "timed out while connecting"); /* the silent one may yet answer */
    black_hole_close(&hole);
}

static void test_look_up_fails(void **state)
{
    struct fixture *f = *state;
    dial(f, (struct cws_dial_options){.host = "nowhere.test", .port = 443});
    expect_error(
        f, CWS_RESOLVE,
        "cannot connect to nowhere.test:443: name look-up failed: Name or service not known");
    disconnect(f);
    resolver.rc = EAI_AGAIN;
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    expect_error(f, CWS_RESOLVE, "Temporary failure");
    disconnect(f);
    char endless[400];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    dial(f, (struct cws_dial_options){.host = endless, .port = 443});
    expect_error(f, CWS_RESOLVE, "name look-up failed");
}

static void test_host_that_cannot_be_one(void **state)
{
    struct fixture *f = *state;
    const char *const hosts[] = {"", "a b", "a\r\nX: y", "a\x7f"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        dial(f, (struct cws_dial_options){.host = hosts[i], .port = 1, .proxy = "127.0.0.1:1"});
        expect_error(f, CWS_INVALID, "no blanks and no control characters");
        disconnect(f);
    }
}

/* --- deadlines: a peer that says nothing at each stage --- */

static void test_deadline_in_the_look_up(void **state)
{
    struct fixture *f = *state;
    resolver_hold(true);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT,
                 "cannot connect to sandbox.test:443: timed out while looking up the name");
    resolver_add(1); /* an answer nobody waits for any more */
    resolver_hold(false);
}

static void test_deadline_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    dial(f,
         (struct cws_dial_options){.host = "127.0.0.1", .port = hole.port, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while connecting");
    black_hole_close(&hole);
}

static void test_deadline_at_the_proxy(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_SILENT);
    dial(f,
         (struct cws_dial_options){
             .host = "behind.test", .port = 1, .proxy = proxy_address(f), .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while waiting for the proxy");
}

static void test_deadline_in_the_handshake(void **state)
{
    struct fixture *f = *state;
    struct black_hole silent;
    black_hole_open(&silent, 8); /* the kernel takes the connection, nobody answers */
    use_tls(f);
    dial(f, (struct cws_dial_options){
                .host = "127.0.0.1", .port = silent.port, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out in the TLS handshake");
    black_hole_close(&silent);
}

/* Once an address has answered, no other is tried, however long what follows takes. */
static void test_no_other_address_during_the_handshake(void **state)
{
    struct fixture *f = *state;
    struct black_hole first, second;
    black_hole_open(&first, 8);
    black_hole_open(&second, 8);
    use_tls(f);
    resolver_add(first.port);
    resolver_add(second.port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test",
                                      .port = 1,
                                      .deadline_ns = cws_clock_now_ns() + 400 * CWS_NS_PER_MS});
    expect_error(f, CWS_TIMED_OUT, "timed out in the TLS handshake");
    int taken = accept(first.fd, NULL, NULL);
    assert_true(taken >= 0);
    close(taken);
    fcntl(second.fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(accept(second.fd, NULL, NULL), -1);
    black_hole_close(&first);
    black_hole_close(&second);
}

static void test_deadline_that_has_passed(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = hole.port, .deadline_ns = 1});
    expect_error(f, CWS_TIMED_OUT, "timed out");
    black_hole_close(&hole);
}

/* --- giving up --- */

/* The longest way (name, proxy, TLS), cancelled after each iteration of the loop, until it is too
 * late. */
static void test_cancel_at_each_stage(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    resolver_add(closed_port());
    resolver_add(f->port);
    for (int stages = 0;; stages++) {
        start(f, (struct cws_dial_options){
                     .host = "sandbox.test", .port = 443, .proxy = "sandbox.test:1"});
        for (int i = 0; i < stages; i++)
            pump(f->loop);
        bool late = f->done;
        if (!late)
            cws_dial_cancel(f->dial);
        f->dial = NULL;
        settle(f->loop);
        assert_int_equal(f->done, late);
        disconnect(f);
        if (late) {
            assert_true(stages > 5);
            return;
        }
    }
}

static void test_cancel_while_looking_up(void **state)
{
    struct fixture *f = *state;
    resolver_hold(true);
    start(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    PUMP_UNTIL(f->loop, resolver_asked());
    cws_dial_cancel(f->dial); /* the thread is in the resolver: nothing can end that */
    settle(f->loop);
    resolver_add(1);
    resolver_hold(false);
}

static void test_cancel_beside_silent_addresses(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    for (int i = 0; i < 3; i++)
        resolver_add(hole.port);
    start(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    uint64_t later = cws_clock_now_ns() + 300 * CWS_NS_PER_MS; /* past the stagger */
    PUMP_UNTIL(f->loop, cws_clock_now_ns() > later);
    cws_dial_cancel(f->dial);
    settle(f->loop);
    black_hole_close(&hole);
}

/* --- after fork() --- */

/* The parent's look-up thread is not in the child: the look-up there needs one of its own. */
static void test_look_up_in_a_forked_child(void **state)
{
    struct fixture *f = *state;
    if (UNDER_TSAN)
        skip(); /* it allows no new thread after a fork */
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    expect_error(f, CWS_CONNECT, "connection refused");
    disconnect(f);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TEST_SECONDS);
        struct cws_loop *loop = f->loop;
        f->loop = loop_open();
        start(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
        PUMP_UNTIL(f->loop, f->done);
        cws_loop_free(f->loop);
        f->loop = loop;
        _exit(f->err.status == CWS_CONNECT ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- no memory --- */

/* Each allocation of the longest way fails once: no dial, an error, or (where a part can do
 * without) a connection; never a hang or a leak. */
static void test_each_allocation_fails_once(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    resolver_add(closed_port());
    resolver_add(f->port);
    unsigned refused = 0, failed = 0;
    for (size_t n = 1; n <= 60; n++) {
        cws_alloc_fail_at(n);
        start(f, (struct cws_dial_options){.host = "sandbox.test",
                                           .port = 443,
                                           .proxy = "sandbox.test:1",
                                           .proxy_auth = "user:password"});
        if (f->dial)
            PUMP_UNTIL(f->loop, f->done);
        else
            refused++;
        cws_alloc_fail_at(0);
        failed += f->err.status == CWS_NO_MEMORY;
        disconnect(f);
    }
    assert_true(refused >= 4);
    assert_true(failed >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_ip_literals),
        TEST(test_a_host_that_vanishes_is_noticed),
        TEST(test_unix_socket),
        TEST(test_unix_socket_on_the_highest_descriptor),
        TEST(test_unix_socket_with_full_backlog),
        TEST(test_name),
        TEST(test_tls),
        TEST(test_next_address_after_a_refusal),
        TEST(test_next_address_beside_a_silent_one),
        TEST(test_address_that_cannot_be_tried),
        TEST(test_all_addresses_refuse),
        TEST(test_refusals_beside_a_silent_address),
        TEST(test_look_up_fails),
        TEST(test_host_that_cannot_be_one),
        TEST(test_deadline_in_the_look_up),
        TEST(test_deadline_while_connecting),
        TEST(test_deadline_at_the_proxy),
        TEST(test_deadline_in_the_handshake),
        TEST(test_no_other_address_during_the_handshake),
        TEST(test_deadline_that_has_passed),
        TEST(test_cancel_at_each_stage),
        TEST(test_cancel_while_looking_up),
        TEST(test_cancel_beside_silent_addresses),
        TEST(test_look_up_in_a_forked_child),
        TEST(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
