/* io/tunnel: the proxy's answer in every cut; test_dial has it within the whole way. */
#include "support/peer.h"

#include "io/tunnel.h"

static const char answer[] = "HTTP/1.1 200 OK\r\nVia: test\r\n\r\n";

struct fixture {
    struct cws_loop *loop;
    size_t live;
    int proxy; /* the other end */
    struct cws_tunnel *tunnel;
    bool in_start, done;
    struct peer client;
    struct cws_error err;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->live = cws_alloc_live();
    f->loop = loop_open();
    f->proxy = -1;
    peer_init(&f->client);
    *state = f;
    return 0;
}

static void disconnect(struct fixture *f)
{
    peer_done(&f->client);
    peer_init(&f->client);
    if (f->proxy >= 0)
        close(f->proxy);
    f->proxy = -1;
    f->done = false;
    f->err = (struct cws_error){0};
    settle(f->loop);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    disconnect(f);
    loop_close(f->loop);
    size_t live = cws_alloc_live();
    size_t before = f->live;
    test_free(f);
    return live == before ? 0 : -1;
}

static void on_done(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct fixture *f = ctx;
    assert_false(f->in_start || f->done);
    f->done = true;
    assert_true(!transport == !!err);
    if (transport)
        peer_start(&f->client, transport);
    else
        f->err = *err;
}

static void begin(struct fixture *f)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct cws_sock *sock = cws_sock_new(f->loop, AF_UNIX);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fds[0]), 0);
    f->proxy = fds[1];
    f->in_start = true;
    f->tunnel = cws_tunnel_start(sock, "behind.test", 443, "user:password", on_done, f);
    f->in_start = false;
}

static void say(const struct fixture *f, const char *text, size_t len)
{
    assert_int_equal(send(f->proxy, text, len, MSG_NOSIGNAL), len);
}

static void hear_request(const struct fixture *f)
{
    static const char request[] = "CONNECT behind.test:443 HTTP/1.1\r\n"
                                  "Host: behind.test:443\r\n"
                                  "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n";
    char heard[512] = "";
    assert_int_equal(recv(f->proxy, heard, sizeof(heard) - 1, 0), strlen(request));
    assert_string_equal(heard, request);
}

/* The answer and the tunnel's first bytes, in two pieces cut at each place. */
static void test_each_cut(void **state)
{
    struct fixture *f = *state;
    char all[128];
    snprintf(all, sizeof(all), "%sfirst bytes", answer);
    for (size_t cut = 0; cut <= strlen(all); cut++) {
        begin(f);
        hear_request(f);
        if (cut > 0)
            say(f, all, cut);
        settle(f->loop);
        assert_int_equal(f->done, cut >= strlen(answer));
        if (cut < strlen(all))
            say(f, all + cut, strlen(all) - cut);
        PUMP_UNTIL(f->loop, f->client.received.len == 11);
        assert_true(peer_has(&f->client, "first bytes"));
        disconnect(f);
    }
}

static void test_one_byte_at_a_time(void **state)
{
    struct fixture *f = *state;
    begin(f);
    for (size_t i = 0; i < strlen(answer); i++) {
        assert_false(f->done);
        say(f, &answer[i], 1);
        settle(f->loop);
    }
    PUMP_UNTIL(f->loop, f->done);
    say(f, "x", 1);
    PUMP_UNTIL(f->loop, f->client.received.len == 1);
}

/* The largest header that is allowed, and one byte more. */
static void test_header_ceiling(void **state)
{
    struct fixture *f = *state;
    for (size_t more = 0; more <= 1; more++) {
        size_t len = 16384 + more;
        char *bytes = test_malloc(len);
        memset(bytes, 'x', len);
        memcpy(bytes, "HTTP/1.1 200 OK\r\nX: ", 20);
        memcpy(bytes + len - 4, "\r\n\r\n", 4);
        begin(f);
        say(f, bytes, len);
        PUMP_UNTIL(f->loop, f->done);
        assert_int_equal(f->err.status, more ? CWS_PROXY : CWS_OK);
        disconnect(f);
        test_free(bytes);
    }
}

static void expect_end(struct fixture *f, const char *text, size_t len, enum cws_status status,
                       const char *error)
{
    begin(f);
    hear_request(f); /* unread, it would make a reset of the close below */
    say(f, text, len);
    close(f->proxy);
    f->proxy = -1;
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, status);
    if (!strstr(f->err.text, error))
        fail_msg("'%s' without '%s'", f->err.text, error);
    disconnect(f);
}

static void test_answers_that_are_none(void **state)
{
    struct fixture *f = *state;
    expect_end(f, answer, strlen(answer) - 1, CWS_PROXY, "the proxy closed the connection");
    expect_end(f, "HT", 2, CWS_PROXY, "the proxy closed the connection");
    expect_end(f, "HTtP", 4, CWS_PROXY, "not HTTP");
    expect_end(f, "HTTP/1.1\r\n\r\n", 12, CWS_PROXY, "not HTTP/1.1");
    expect_end(f, "HTTP/1.1 99\r\n\r\n", 15, CWS_PROXY, "not HTTP/1.1");
    expect_end(f, "HTTP/1.0 503 \0\xff\r\n\r\n", 19, CWS_PROXY, "answered 503 ??");
    expect_end(f, "HTTP/1.1 100 Continue\r\n\r\n", 25, CWS_PROXY, "answered 100 Continue");
}

static void test_any_success_code(void **state)
{
    struct fixture *f = *state;
    begin(f);
    say(f, "HTTP/1.0 299\r\n\r\n", 16);
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, CWS_OK);
}

static void test_connection_lost(void **state)
{
    struct fixture *f = *state;
    begin(f);
    close(f->proxy); /* with the request unread: a reset */
    f->proxy = -1;
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, CWS_IO);
    assert_non_null(strstr(f->err.text, "the proxy: cannot read: connection reset"));
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    begin(f);
    cws_tunnel_cancel(f->tunnel);
    settle(f->loop);
    disconnect(f);
    begin(f);
    say(f, answer, 10);
    settle(f->loop);
    cws_tunnel_cancel(f->tunnel);
    settle(f->loop);
    assert_false(f->done);
}

static void test_each_allocation_fails_once(void **state)
{
    struct fixture *f = *state;
    unsigned refused = 0, failed = 0;
    for (size_t n = 2; n <= 8; n++) { /* the first is the sock's */
        cws_alloc_fail_at(n);
        begin(f);
        if (f->tunnel) {
            say(f, "HTTP/1.1 200 OK\r\n\r\nfirst bytes", 30);
            PUMP_UNTIL(f->loop, f->done || f->client.closed);
        } else {
            refused++;
        }
        cws_alloc_fail_at(0);
        failed += f->err.status == CWS_NO_MEMORY;
        disconnect(f);
    }
    assert_true(refused >= 2);
    assert_true(failed >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_each_cut),         TEST(test_one_byte_at_a_time),
        TEST(test_header_ceiling),   TEST(test_answers_that_are_none),
        TEST(test_any_success_code), TEST(test_connection_lost),
        TEST(test_cancel),           TEST(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
