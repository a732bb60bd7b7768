/* io/sock, io/dial, io/listen, io/loop: when the kernel has no watches left for this user, the one
 * connection fails that needs one, and not the process. */
#include "support/watch_refused.h"

#include "support/peer.h"

#include <sys/un.h>

#include "io/dial.h"
#include "io/listen.h"

#define BIG ((size_t)8 << 20) /* more than the kernel buffers for one socket */

struct fixture {
    struct cws_loop *loop;
    struct peer peer;
    int fd; /* the other end */
    bool done;
    struct cws_error err;
};

static struct cws_transport *make(struct fixture *f)
{
    int fds[2];
    f->loop = loop_open();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct cws_sock *sock = cws_sock_new(f->loop, AF_UNIX);
    assert_non_null(sock);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fds[0]), 0);
    f->fd = fds[1];
    return cws_sock_transport(sock);
}

static void finish(struct fixture *f)
{
    no_watches = false;
    peer_done(&f->peer);
    close(f->fd);
    loop_close(f->loop);
}

static void expect_closed(struct fixture *f)
{
    PUMP_UNTIL(f->loop, f->peer.closed);
    assert_int_equal(f->peer.err.status, CWS_IO);
    assert_non_null(strstr(f->peer.err.text, "no space left"));
}

static void test_to_begin_with(void **state)
{
    struct fixture *f = *state;
    struct cws_transport *transport = make(f);
    no_watches = true;
    peer_start(&f->peer, transport);
    expect_closed(f);
    finish(f);
}

/* libuv lets go of a watch when something comes that nobody wants to read. */
static void test_after_a_pause(void **state)
{
    struct fixture *f = *state;
    peer_start(&f->peer, make(f));
    settle(f->loop);
    cws_transport_pause(f->peer.transport, true);
    assert_int_equal(send(f->fd, "x", 1, MSG_NOSIGNAL), 1);
    settle(f->loop);
    no_watches = true;
    cws_transport_pause(f->peer.transport, false);
    expect_closed(f);
    finish(f);
}

static void test_for_what_is_not_taken_at_once(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    struct cws_transport *transport = make(f);
    cws_transport_pause(transport, true);
    peer_start(&f->peer, transport);
    no_watches = true;
    assert_int_equal(peer_write(&f->peer, bytes, BIG), CWS_CLOSED);
    expect_closed(f);
    test_free(bytes);
    finish(f);
}

static void on_dialed(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct fixture *f = ctx;
    assert_null(transport);
    f->done = true;
    f->err = *err;
}

static void test_to_connect(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/cws-watches-%d", (int)getpid());
    f->loop = loop_open();
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(f->fd, 1), 0);
    const struct cws_dial_options options = {.unix_path = addr.sun_path,
                                             .deadline_ns = CWS_NO_DEADLINE};
    no_watches = true;
    assert_non_null(cws_dial_start(f->loop, &options, on_dialed, f));
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, CWS_CONNECT);
    assert_non_null(strstr(f->err.text, "no space left"));
    unlink(addr.sun_path);
    finish(f);
}

static void test_for_a_loop(void **state)
{
    struct cws_loop *loop;
    struct cws_error err;
    (void)state;
    no_watches = true;
    assert_int_equal(cws_loop_new(&loop, &err), CWS_SYSTEM);
    no_watches = false;
}

static void test_to_listen(void **state)
{
    struct fixture *f = *state;
    struct cws_listener *listener;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/cws-watches-%d", (int)getpid());
    const struct cws_listen_options options = {.unix_path = path};
    f->loop = loop_open();
    no_watches = true;
    assert_int_equal(cws_listener_new(f->loop, &options, NULL, NULL, &listener, &f->err), CWS_IO);
    no_watches = false;
    assert_int_equal(access(path, F_OK), -1);
    loop_close(f->loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(struct fixture, test_to_begin_with),
        TEST_WITH(struct fixture, test_after_a_pause),
        TEST_WITH(struct fixture, test_for_what_is_not_taken_at_once),
        TEST_WITH(struct fixture, test_to_connect),
        TEST_WITH(struct fixture, test_to_listen),
        TEST_WITH(struct fixture, test_for_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
