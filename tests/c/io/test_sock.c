/* io/sock: the transport over real sockets, and each way it can end. */
#include "support/peer.h"

#include "io/scratch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>

#define BIG ((size_t)8 << 20) /* more than the kernel buffers for one socket */

/* --- what the tests stand on --- */

struct fixture {
    struct cws_loop *loop;
    size_t live;      /* allocations before the loop */
    struct peer a, b; /* two ends of a pair */
    int fd;           /* or a's raw other end; -1: there is none any more */
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->live = cws_alloc_live();
    f->loop = loop_open();
    f->fd = -1;
    *state = f;
    return 0;
}

static void hang_up(struct fixture *f)
{
    close(f->fd);
    f->fd = -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    peer_done(&f->a);
    peer_done(&f->b);
    if (f->fd >= 0)
        hang_up(f);
    loop_close(f->loop);
    size_t live = cws_alloc_live();
    size_t before = f->live;
    test_free(f);
    return live == before ? 0 : -1;
}

/* A sock over one end of a socket pair; f->fd is the raw other end. */
static struct cws_transport *sock_and_fd(struct fixture *f)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct cws_sock *sock = cws_sock_new(f->loop, AF_UNIX);
    assert_non_null(sock);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fds[0]), 0);
    f->fd = fds[1];
    return cws_sock_transport(sock);
}

static int set_up_one(void **state)
{
    set_up(state);
    struct fixture *f = *state;
    peer_start(&f->a, sock_and_fd(f));
    return 0;
}

static int set_up_pair(void **state)
{
    set_up(state);
    struct fixture *f = *state;
    struct cws_transport *transport = sock_and_fd(f);
    struct cws_sock *other = cws_sock_new(f->loop, AF_UNIX);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(other), f->fd), 0);
    f->fd = -1; /* the other's now */
    peer_start(&f->a, transport);
    peer_start(&f->b, cws_sock_transport(other));
    return 0;
}

/* A TCP connection: a sock that has connected, and the raw accepted end. */
static void note_connected(uv_connect_t *req, int status)
{
    assert_int_equal(status, 0);
    *(bool *)req->data = true;
}

static struct cws_sock *tcp_sock_and_fd(struct fixture *f)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(server, 1), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&addr, &len), 0);
    struct cws_sock *sock = cws_sock_new(f->loop, AF_INET);
    bool connected = false;
    uv_connect_t req = {.data = &connected};
    assert_int_equal(uv_tcp_connect(&req, (uv_tcp_t *)cws_sock_stream(sock),
                                    (struct sockaddr *)&addr, note_connected),
                     0);
    PUMP_UNTIL(f->loop, connected);
    f->fd = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(f->fd >= 0);
    close(server);
    return sock;
}

static void send_text(struct fixture *f, const char *text)
{
    assert_int_equal(send(f->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads the raw end until `len` bytes came, pumping the loop in between. */
static void drain_fd(struct fixture *f, uint8_t *out, size_t len)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = recv(f->fd, out + have, len - have, MSG_DONTWAIT);
        if (n > 0)
            have += (size_t)n;
        else
            pump(f->loop);
    }
}

/* --- data --- */

static void test_bytes_go_both_ways(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(peer_write(&f->a, "ping", 4), CWS_OK);
    assert_int_equal(peer_write(&f->a, "", 0), CWS_OK);
    assert_int_equal(cws_transport_pending(f->a.transport), 0);
    PUMP_UNTIL(f->loop, f->b.received.len == 4);
    assert_true(peer_has(&f->b, "ping"));
    assert_int_equal(peer_write(&f->b, "pong", 4), CWS_OK);
    PUMP_UNTIL(f->loop, f->a.received.len == 4);
    assert_true(peer_has(&f->a, "pong"));
    assert_int_equal(f->a.drained, 0); /* nothing had been pending */
}

static void test_tcp_has_nodelay(void **state)
{
    struct fixture *f = *state;
    int on = 0;
    struct cws_sock *sock = tcp_sock_and_fd(f);
    uv_os_fd_t own;
    socklen_t len = sizeof(on);
    assert_int_equal(uv_fileno((uv_handle_t *)cws_sock_stream(sock), &own), 0);
    assert_int_equal(getsockopt(own, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    cws_transport_close(cws_sock_transport(sock)); /* never started */
}

static void test_big_write_is_kept_and_follows(void **state)
{
    struct fixture *f = *state;
    cws_transport_pause(f->b.transport, true);
    uint8_t *bytes = test_malloc(2 * BIG);
    fill_pattern(bytes, 2 * BIG, 0);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    size_t pending = cws_transport_pending(f->a.transport);
    assert_true(pending > 0 && pending < BIG);
    assert_int_equal(peer_write(&f->a, bytes + BIG, BIG), CWS_OK); /* behind the first */
    assert_int_equal(cws_transport_pending(f->a.transport), pending + BIG);
    settle(f->loop);
    assert_int_equal(f->b.data_events, 0);
    assert_int_equal(f->a.drained, 0);

    cws_transport_pause(f->b.transport, false);
    PUMP_UNTIL(f->loop, f->b.received.len == 2 * BIG);
    assert_true(is_pattern(cws_buf_bytes(&f->b.received), 2 * BIG));
    PUMP_UNTIL(f->loop, f->a.drained);
    settle(f->loop);
    assert_int_equal(f->a.drained, 1);
    test_free(bytes);
}

static void test_pause_holds_data_back(void **state)
{
    struct fixture *f = *state;
    cws_transport_pause(f->a.transport, true);
    send_text(f, "later");
    hang_up(f);
    settle(f->loop);
    assert_int_equal(f->a.data_events, 0);
    assert_int_equal(f->a.closed, 0);
    cws_transport_pause(f->a.transport, false);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_true(peer_has(&f->a, "later"));
    assert_int_equal(f->a.err.status, CWS_OK);
}

/* --- ends --- */

static void test_orderly_end_is_ok(void **state)
{
    struct fixture *f = *state;
    send_text(f, "bye");
    hang_up(f);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_true(peer_has(&f->a, "bye"));
    assert_int_equal(f->a.err.status, CWS_OK);
    assert_int_equal(peer_write(&f->a, "x", 1), CWS_CLOSED);
}

static void test_reset_is_an_error(void **state)
{
    struct fixture *f = *state;
    peer_start(&f->a, cws_sock_transport(tcp_sock_and_fd(f)));
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    hang_up(f);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_IO);
    assert_non_null(strstr(f->a.err.text, "connection reset"));
}

/* The process would be gone if SIGPIPE were delivered: the default action is in place. */
static void test_write_to_gone_peer_is_reported_later(void **state)
{
    struct fixture *f = *state;
    send_text(f, "last words");
    hang_up(f);
    assert_int_equal(peer_write(&f->a, "x", 1), CWS_CLOSED); /* checks: no event inside */
    assert_int_equal(peer_write(&f->a, "x", 1), CWS_CLOSED);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_true(peer_has(&f->a, "last words")); /* what it still said comes first */
    assert_int_equal(f->a.err.status, CWS_IO);
    assert_non_null(strstr(f->a.err.text, "broken pipe"));
}

static void test_pending_write_to_peer_that_goes(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    settle(f->loop);
    hang_up(f);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_IO);
    assert_int_equal(f->a.drained, 0);
    test_free(bytes);
}

/* Same, but nobody reads: the failing write alone must bring the end. */
static void test_broken_while_paused(void **state)
{
    struct fixture *f = *state;
    cws_transport_pause(f->a.transport, true);
    hang_up(f);
    settle(f->loop);
    assert_int_equal(f->a.closed, 0);
    assert_int_equal(peer_write(&f->a, "x", 1), CWS_CLOSED);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_IO);
}

static void test_close_inside_on_data(void **state)
{
    struct fixture *f = *state;
    f->a.close_on_data = true;
    uint8_t *bytes = test_calloc(1, CWS_SCRATCH_SIZE * 2); /* more than one read */
    assert_true(send(f->fd, bytes, CWS_SCRATCH_SIZE * 2, MSG_DONTWAIT) > 0);
    PUMP_UNTIL(f->loop, !f->a.transport);
    settle(f->loop);
    assert_int_equal(f->a.data_events, 1);
    test_free(bytes);
}

static void test_close_inside_on_drained_and_on_closed(void **state)
{
    struct fixture *f = *state;
    f->a.close_on_drained = true;
    f->b.close_on_closed = true;
    uint8_t *bytes = test_calloc(1, BIG);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    PUMP_UNTIL(f->loop, !f->a.transport);
    PUMP_UNTIL(f->loop, !f->b.transport);
    assert_int_equal(f->b.received.len, BIG);
    assert_int_equal(f->b.err.status, CWS_OK);
    test_free(bytes);
}

static void test_close_with_writes_pending(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    peer_close(&f->a);
    settle(f->loop);
    assert_int_equal(f->a.drained + f->a.closed, 0);
    test_free(bytes);
}

static void test_close_before_the_report(void **state)
{
    struct fixture *f = *state;
    hang_up(f);
    assert_int_equal(peer_write(&f->a, "x", 1), CWS_CLOSED);
    peer_close(&f->a); /* on_closed was due */
    settle(f->loop);
    assert_int_equal(f->a.closed, 0);
}

/* --- handing over --- */

struct header_reader {
    struct cws_sock *sock;
    struct peer *next;
    bool start_at_once;
};

static void header_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct header_reader *reader = ctx;
    assert_true(len >= 4);
    assert_memory_equal(data, "HEAD", 4);
    assert_int_equal(cws_sock_rewind(reader->sock, data + 4, len - 4), CWS_OK);
    if (reader->start_at_once)
        peer_start(reader->next, cws_sock_transport(reader->sock));
}

static void no_drained(void *ctx)
{
    (void)ctx;
    fail();
}

static void no_closed(void *ctx, const struct cws_error *err)
{
    (void)ctx;
    (void)err;
    fail();
}

static const struct cws_transport_events header_events = {
    .on_data = header_on_data, .on_drained = no_drained, .on_closed = no_closed};

static void rewind_case(struct fixture *f, const char *rest, bool at_once)
{
    struct peer next;
    peer_init(&next);
    struct cws_transport *transport = sock_and_fd(f);
    struct cws_sock *sock = (struct cws_sock *)transport;
    struct header_reader reader = {sock, &next, at_once};
    cws_transport_start(transport, &header_events, &reader);
    send_text(f, "HEAD");
    send_text(f, rest);
    settle(f->loop);
    send_text(f, "-more");
    hang_up(f);
    settle(f->loop);
    if (!at_once) {
        assert_int_equal(next.data_events, 0);
        peer_start(&next, transport);
    }
    PUMP_UNTIL(f->loop, next.closed);
    char all[64];
    snprintf(all, sizeof(all), "%s-more", rest);
    assert_true(peer_has(&next, all));
    assert_int_equal(next.err.status, CWS_OK);
    peer_done(&next);
}

static void test_rewind_gives_the_rest_to_the_next_owner(void **state)
{
    rewind_case(*state, "rest", true);
    rewind_case(*state, "rest", false);
    rewind_case(*state, "", true);
    rewind_case(*state, "", false);
}

/* More than one read brings: what follows in the kernel must not overtake what was given back. */
static void test_rewind_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    struct peer next;
    peer_init(&next);
    struct cws_transport *transport = sock_and_fd(f);
    struct header_reader reader = {(struct cws_sock *)transport, &next, true};
    cws_transport_start(transport, &header_events, &reader);
    size_t len = CWS_SCRATCH_SIZE + 4096;
    uint8_t *bytes = test_malloc(len);
    fill_pattern(bytes, len, 0);
    send_text(f, "HEAD");
    assert_int_equal(send(f->fd, bytes, len, MSG_DONTWAIT), len);
    PUMP_UNTIL(f->loop, next.received.len == len);
    assert_true(is_pattern(cws_buf_bytes(&next.received), len));
    test_free(bytes);
    peer_done(&next);
}

static void test_rewind_then_close(void **state)
{
    struct fixture *f = *state;
    struct cws_transport *transport = sock_and_fd(f);
    struct header_reader reader = {.sock = (struct cws_sock *)transport};
    cws_transport_start(transport, &header_events, &reader);
    send_text(f, "HEADrest");
    settle(f->loop);
    cws_transport_close(transport);
}

/* --- no memory --- */

static void test_no_memory_for_a_sock(void **state)
{
    struct fixture *f = *state;
    cws_alloc_fail_at(1);
    assert_null(cws_sock_new(f->loop, AF_INET));
}

static void test_no_memory_for_what_the_kernel_does_not_take(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    cws_alloc_fail_at(1);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_NO_MEMORY);
    assert_int_equal(peer_write(&f->a, bytes, 1), CWS_CLOSED); /* half a write is out */
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_NO_MEMORY);
    test_free(bytes);
}

/* After everything that was written; what comes is still read. */
static void test_the_end_of_sending_alone(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG), *out = test_malloc(BIG);
    char end;
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    assert_int_equal(peer_write(&f->a, bytes, 1), CWS_OK);
    cws_transport_finish(f->a.transport);
    cws_transport_finish(f->a.transport);
    assert_int_equal(peer_write(&f->a, bytes, 1), CWS_CLOSED);
    drain_fd(f, out, BIG);
    drain_fd(f, out, 1);
    PUMP_UNTIL(f->loop, recv(f->fd, &end, 1, MSG_DONTWAIT) == 0);
    assert_int_equal(f->a.closed, 0);
    send_text(f, "still here");
    PUMP_UNTIL(f->loop, peer_has(&f->a, "still here"));
    test_free(out);
    test_free(bytes);
}

static void test_the_end_of_sending_with_nothing_sent(void **state)
{
    struct fixture *f = *state;
    char end;
    cws_transport_finish(f->a.transport);
    assert_int_equal(recv(f->fd, &end, 1, MSG_DONTWAIT), 0);
    hang_up(f);
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_OK);
}

static void test_no_memory_for_what_comes_behind_it(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_OK);
    size_t pending = cws_transport_pending(f->a.transport);
    cws_alloc_fail_at(1);
    assert_int_equal(peer_write(&f->a, bytes, BIG), CWS_NO_MEMORY);
    assert_int_equal(cws_transport_pending(f->a.transport), pending);
    uint8_t *out = test_malloc(BIG);
    drain_fd(f, out, BIG);
    PUMP_UNTIL(f->loop, f->a.drained);
    assert_memory_equal(out, bytes, BIG);
    test_free(out);
    test_free(bytes);
}

static void test_no_memory_to_read_into(void **state)
{
    struct fixture *f = *state;
    send_text(f, "x");
    cws_alloc_fail_at(1); /* the loop's scratch memory */
    PUMP_UNTIL(f->loop, f->a.closed);
    assert_int_equal(f->a.err.status, CWS_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ONE(name)  cmocka_unit_test_setup_teardown(name, set_up_one, tear_down)
#define PAIR(name) cmocka_unit_test_setup_teardown(name, set_up_pair, tear_down)
        PAIR(test_bytes_go_both_ways),
        TEST(test_tcp_has_nodelay),
        PAIR(test_big_write_is_kept_and_follows),
        ONE(test_pause_holds_data_back),
        ONE(test_orderly_end_is_ok),
        TEST(test_reset_is_an_error),
        ONE(test_write_to_gone_peer_is_reported_later),
        ONE(test_pending_write_to_peer_that_goes),
        ONE(test_broken_while_paused),
        ONE(test_close_inside_on_data),
        PAIR(test_close_inside_on_drained_and_on_closed),
        ONE(test_close_with_writes_pending),
        ONE(test_close_before_the_report),
        TEST(test_rewind_gives_the_rest_to_the_next_owner),
        TEST(test_rewind_keeps_the_order),
        TEST(test_rewind_then_close),
        TEST(test_no_memory_for_a_sock),
        ONE(test_no_memory_for_what_the_kernel_does_not_take),
        ONE(test_no_memory_for_what_comes_behind_it),
        ONE(test_the_end_of_sending_alone),
        ONE(test_the_end_of_sending_with_nothing_sent),
        ONE(test_no_memory_to_read_into),
    };
    signal(SIGPIPE, SIG_DFL); /* whatever the runner passed on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
