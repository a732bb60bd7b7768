/* io/tls: data both ways, and each way a connection can end. */
#include "support/tls_pair.h"

#include "io/listen.h"
#include "io/scratch.h"

#define BIG ((size_t)8 << 20)

/* --- data --- */

static void test_big_streams_both_ways(void **state)
{
    struct fixture *f = *state;
    connected(f);
    uint8_t *bytes = test_malloc(BIG);
    fill_pattern(bytes, BIG, 0);
    assert_int_equal(peer_write(&f->client.peer, bytes, BIG), CWS_OK);
    assert_int_equal(peer_write(&f->server.peer, bytes, BIG), CWS_OK);
    assert_true(cws_transport_pending(f->client.peer.transport) > 0);
    PUMP_UNTIL(f->loop, f->client.peer.received.len == BIG && f->server.peer.received.len == BIG);
    assert_true(is_pattern(cws_buf_bytes(&f->client.peer.received), BIG));
    assert_true(is_pattern(cws_buf_bytes(&f->server.peer.received), BIG));
    PUMP_UNTIL(f->loop, f->client.peer.drained && f->server.peer.drained);
    assert_int_equal(cws_transport_pending(f->client.peer.transport), 0);
    /* In pieces well above one record. */
    assert_true(f->server.peer.data_events < BIG / (32 * 1024));
    test_free(bytes);
}

static void test_each_length_around_the_slices(void **state)
{
    struct fixture *f = *state;
    connected(f);
    const size_t edges[] = {0,
                            1,
                            2,
                            16383,
                            16384,
                            16385,
                            CWS_SCRATCH_SIZE - 16384,
                            CWS_SCRATCH_SIZE - 16383,
                            CWS_SCRATCH_SIZE};
    uint8_t *bytes = test_malloc(CWS_SCRATCH_SIZE);
    size_t sent = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(edges); i++) {
        fill_pattern(bytes, edges[i], sent);
        assert_int_equal(peer_write(&f->client.peer, bytes, edges[i]), CWS_OK);
        sent += edges[i];
    }
    PUMP_UNTIL(f->loop, f->server.peer.received.len == sent);
    assert_true(is_pattern(cws_buf_bytes(&f->server.peer.received), sent));
    test_free(bytes);
}

static void relay(struct fixture *f, int from, int to)
{
    uint8_t byte;
    while (recv(from, &byte, 1, MSG_DONTWAIT) == 1) {
        assert_int_equal(send(to, &byte, 1, MSG_NOSIGNAL), 1);
        pump(f->loop);
    }
}

/* Client and server begin with nobody between them yet: what the one writes is at a[1], what the
 * other writes at b[1]. */
static void begin_apart(struct fixture *f, int a[2], int b[2])
{
    fd_pair(a);
    fd_pair(b);
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    begin(f, &f->client, sock_over(f->loop, a[0]), "localhost");
    begin(f, &f->server, sock_over(f->loop, b[0]), NULL);
}

/* The whole way again, one byte at a time. */
static void test_one_byte_at_a_time(void **state)
{
    struct fixture *f = *state;
    int a[2], b[2];
    begin_apart(f, a, b);
    bool asked = false;
    while (!f->server.peer.closed) {
        relay(f, a[1], b[1]);
        relay(f, b[1], a[1]);
        if (f->client.done && !asked) {
            assert_int_equal(peer_write(&f->client.peer, "question", 8), CWS_OK);
            asked = true;
        }
        if (f->server.peer.received.len == 8 && f->client.peer.transport)
            peer_close(&f->client.peer);
        pump(f->loop);
    }
    assert_true(peer_has(&f->server.peer, "question"));
    assert_int_equal(f->server.peer.err.status, CWS_OK);
    close(a[1]);
    close(b[1]);
}

static void test_pause_holds_data_back(void **state)
{
    struct fixture *f = *state;
    connected(f);
    cws_transport_pause(f->server.peer.transport, true);
    assert_int_equal(peer_write(&f->client.peer, "later", 5), CWS_OK);
    peer_close(&f->client.peer);
    settle(f->loop);
    assert_int_equal(f->server.peer.data_events, 0);
    assert_int_equal(f->server.peer.closed, 0);
    cws_transport_pause(f->server.peer.transport, false);
    PUMP_UNTIL(f->loop, f->server.peer.closed);
    assert_true(peer_has(&f->server.peer, "later"));
    assert_int_equal(f->server.peer.err.status, CWS_OK);
}

/* Pauses at each piece; goes on when the test says so. */
static void pausing_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct peer *peer = ctx;
    peer_on_data(ctx, data, len);
    cws_transport_pause(peer->transport, true);
}

static const struct cws_transport_events pausing_events = {
    .on_data = pausing_on_data, .on_drained = peer_on_drained, .on_closed = peer_on_closed};

static void test_pause_inside_on_data(void **state)
{
    struct fixture *f = *state;
    f->server.lazy = true;
    connected(f);
    f->server.peer.transport = f->server.idle;
    f->server.idle = NULL;
    cws_transport_start(f->server.peer.transport, &pausing_events, &f->server.peer);
    uint8_t *bytes = test_malloc(BIG);
    fill_pattern(bytes, BIG, 0);
    assert_int_equal(peer_write(&f->client.peer, bytes, BIG), CWS_OK);
    while (f->server.peer.received.len < BIG) {
        unsigned before = f->server.peer.data_events;
        PUMP_UNTIL(f->loop, f->server.peer.data_events > before);
        settle(f->loop);
        assert_int_equal(f->server.peer.data_events, before + 1);
        cws_transport_pause(f->server.peer.transport, false);
    }
    assert_true(is_pattern(cws_buf_bytes(&f->server.peer.received), BIG));
    test_free(bytes);
}

static void test_data_waits_for_the_start(void **state)
{
    struct fixture *f = *state;
    f->server.lazy = true;
    connected(f);
    assert_int_equal(peer_write(&f->client.peer, "early", 5), CWS_OK);
    peer_close(&f->client.peer);
    settle(f->loop);
    peer_start(&f->server.peer, f->server.idle);
    f->server.idle = NULL;
    PUMP_UNTIL(f->loop, f->server.peer.closed);
    assert_true(peer_has(&f->server.peer, "early"));
    assert_int_equal(f->server.peer.err.status, CWS_OK);
}

/* --- ends --- */

static void test_close_sends_close_notify(void **state)
{
    struct fixture *f = *state;
    connected(f);
    exchange(f);
    peer_close(&f->client.peer);
    PUMP_UNTIL(f->loop, f->server.peer.closed);
    assert_int_equal(f->server.peer.err.status, CWS_OK);
    assert_int_equal(peer_write(&f->server.peer, "x", 1), CWS_CLOSED);
}

#define ANSWERED 77

static void on_half_closed(void *ctx)
{
    struct peer *peer = ctx;
    peer_check_event(peer);
    assert_true(peer_has(peer, "last words"));
    assert_int_equal(cws_transport_write(peer->transport, (const uint8_t *)"answer", 6), CWS_OK);
    peer->drained = ANSWERED;
}

/* To an owner who wants to know, close_notify is the end of what the peer sends. */
static void test_close_notify_is_half_a_close(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = &f->server.peer;
    struct cws_transport_events events = peer_events;
    events.on_half_closed = on_half_closed;
    int a[2], b[2];
    f->server.lazy = true;
    begin_apart(f, a, b);
    while (!f->client.done || !f->server.done) {
        relay(f, a[1], b[1]);
        relay(f, b[1], a[1]);
        pump(f->loop);
    }
    assert_int_equal(peer_write(&f->client.peer, "last words", 10), CWS_OK);
    peer_close(&f->client.peer);
    peer_init(peer);
    peer->transport = f->server.idle;
    f->server.idle = NULL;
    cws_transport_start(peer->transport, &events, peer);
    while (peer->drained != ANSWERED) {
        relay(f, a[1], b[1]);
        pump(f->loop);
    }
    assert_int_equal(peer->closed, 0);
    uint8_t answer[4096];
    assert_true(recv(b[1], answer, sizeof(answer), 0) > 6);
    while (recv(b[1], answer, sizeof(answer), MSG_DONTWAIT) > 0)
        ;
    close(b[1]);
    PUMP_UNTIL(f->loop, peer->closed);
    assert_int_equal(peer->err.status, CWS_OK);
    close(a[1]);
}

/* What comes after the own close_notify is still read. */
static void test_the_end_of_sending_alone(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = &f->server.peer;
    struct cws_transport_events events = peer_events;
    events.on_half_closed = on_half_closed;
    f->server.lazy = true;
    connected(f);
    assert_int_equal(peer_write(&f->client.peer, "last words", 10), CWS_OK);
    cws_transport_finish(f->client.peer.transport);
    cws_transport_finish(f->client.peer.transport);
    assert_int_equal(peer_write(&f->client.peer, "x", 1), CWS_CLOSED);
    peer_init(peer);
    peer->transport = f->server.idle;
    f->server.idle = NULL;
    cws_transport_start(peer->transport, &events, peer);
    PUMP_UNTIL(f->loop, peer_has(&f->client.peer, "answer"));
    assert_int_equal(f->client.peer.closed, 0);
    peer_close(peer);
    PUMP_UNTIL(f->loop, f->client.peer.closed);
    assert_int_equal(f->client.peer.err.status, CWS_OK);
}

static void test_cut_connection_is_an_error(void **state)
{
    struct fixture *f = *state;
    int a[2], b[2];
    begin_apart(f, a, b);
    while (!f->client.done || !f->server.done) {
        relay(f, a[1], b[1]);
        relay(f, b[1], a[1]);
        pump(f->loop);
    }
    close(a[1]);
    PUMP_UNTIL(f->loop, f->client.peer.closed);
    assert_int_equal(f->client.peer.err.status, CWS_IO);
    assert_non_null(strstr(f->client.peer.err.text, "without TLS close_notify"));
    assert_int_equal(peer_write(&f->client.peer, "x", 1), CWS_CLOSED);

    uint8_t garbage[100] = {23, 3, 3, 0, 95}; /* looks like a record */
    assert_int_equal(send(b[1], garbage, sizeof(garbage), 0), sizeof(garbage));
    PUMP_UNTIL(f->loop, f->server.peer.closed);
    assert_int_equal(f->server.peer.err.status, CWS_TLS);
    assert_non_null(strstr(f->server.peer.err.text, "bad record mac"));
    close(b[1]);
}

static void test_write_to_gone_peer(void **state)
{
    struct fixture *f = *state;
    connected(f);
    peer_close(&f->server.peer);
    uint8_t *bytes = test_calloc(1, BIG);
    cws_transport_pause(f->client.peer.transport, true); /* the goodbye goes unread */
    settle(f->loop);
    assert_int_equal(peer_write(&f->client.peer, bytes, BIG), CWS_CLOSED);
    assert_int_equal(peer_write(&f->client.peer, bytes, 1), CWS_CLOSED);
    PUMP_UNTIL(f->loop, f->client.peer.closed);
    assert_int_equal(f->client.peer.err.status, CWS_IO);
    test_free(bytes);
}

static void test_close_inside_events(void **state)
{
    struct fixture *f = *state;
    connected(f);
    f->server.peer.close_on_data = true;
    f->client.peer.close_on_closed = true;
    uint8_t *bytes = test_calloc(1, BIG);
    assert_int_equal(peer_write(&f->client.peer, bytes, BIG), CWS_OK);
    PUMP_UNTIL(f->loop, !f->server.peer.transport);
    PUMP_UNTIL(f->loop, !f->client.peer.transport);
    assert_int_equal(f->server.peer.data_events, 1);
    side_done(&f->client);
    side_done(&f->server);

    connected(f);
    f->client.peer.close_on_drained = true;
    assert_int_equal(peer_write(&f->client.peer, bytes, BIG), CWS_OK);
    PUMP_UNTIL(f->loop, !f->client.peer.transport);
    test_free(bytes);
}

static void test_close_inside_done(void **state)
{
    struct fixture *f = *state;
    f->client.close_at_once = f->server.close_at_once = true;
    connected(f);
    settle(f->loop);
}

/* After each iteration of the loop, until it is too late. */
static void test_cancel_at_each_stage(void **state)
{
    struct fixture *f = *state;
    for (int stages = 0;; stages++) {
        configure(&f->client, false, &ca, NULL);
        configure(&f->server, true, NULL, &server_cert);
        begin_both(f, "localhost");
        for (int i = 0; i < stages; i++)
            uv_run(cws_loop_uv(f->loop), UV_RUN_NOWAIT);
        bool late = f->client.done && f->server.done;
        if (!f->client.done)
            cws_tls_cancel(f->client.start);
        f->client.start = NULL;
        if (!f->server.done)
            cws_tls_cancel(f->server.start);
        f->server.start = NULL;
        settle(f->loop);
        side_done(&f->client);
        side_done(&f->server);
        if (late) {
            assert_true(stages > 1);
            return;
        }
    }
}

/* --- no memory --- */

static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    struct cws_error err = {0};
    struct cws_tls_config *out = NULL;
    cws_alloc_fail_at(1);
    assert_int_equal(config(&out, false, &ca, NULL, &err), CWS_NO_MEMORY);
    configure(&f->client, false, &ca, NULL);
    for (size_t n = 1; n <= 2; n++) {
        int fds[2];
        char byte;
        fd_pair(fds);
        struct cws_transport *below = sock_over(f->loop, fds[0]);
        cws_alloc_fail_at(n);
        assert_null(
            cws_tls_start(f->loop, f->client.config, below, "localhost", on_done, &f->client));
        cws_alloc_fail_at(0);
        settle(f->loop);
        assert_int_equal(recv(fds[1], &byte, 1, 0), 0); /* closed below */
        close(fds[1]);
    }
}

/* Each allocation of a whole connection fails once: an error each time, or all is well. */
static void test_each_allocation_fails_once(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = test_calloc(1, BIG);
    unsigned failed = 0;
    for (size_t n = 1; n <= 12; n++) {
        connected(f);
        cws_alloc_fail_at(n);
        enum cws_status status = peer_write(&f->client.peer, bytes, BIG);
        cws_alloc_fail_at(0);
        if (status == CWS_OK) {
            PUMP_UNTIL(f->loop, f->server.peer.received.len == BIG);
        } else {
            failed++;
            assert_int_equal(status, CWS_NO_MEMORY);
            PUMP_UNTIL(f->loop, f->client.peer.closed);
            assert_int_equal(f->client.peer.err.status, CWS_NO_MEMORY);
        }
        side_done(&f->client);
        side_done(&f->server);
    }
    assert_true(failed > 0);
    test_free(bytes);
}

/* --- listening with TLS --- */

struct acceptor {
    struct peer peer;
    unsigned count;
};

static void on_accept(void *ctx, struct cws_transport *transport)
{
    struct acceptor *acceptor = ctx;
    acceptor->count++;
    peer_start(&acceptor->peer, transport);
}

static void connect_to(struct fixture *f, struct cws_listener *listener)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr;
    assert_int_equal(uv_ip4_addr("127.0.0.1", cws_listener_port(listener), &addr), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    struct cws_sock *sock = cws_sock_new(f->loop, AF_INET);
    assert_int_equal(uv_tcp_open((uv_tcp_t *)cws_sock_stream(sock), fd), 0);
    begin(f, &f->client, cws_sock_transport(sock), "localhost");
}

static void test_listener(void **state)
{
    struct fixture *f = *state;
    struct acceptor acceptor = {0};
    struct cws_listener *listener = NULL;
    struct cws_error err = {0};
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    struct cws_listen_options options = {.host = "127.0.0.1", .tls = f->server.config};
    assert_int_equal(cws_listener_new(f->loop, &options, on_accept, &acceptor, &listener, &err),
                     CWS_OK);

    connect_to(f, listener);
    PUMP_UNTIL(f->loop, f->client.done && acceptor.count == 1);
    assert_int_equal(f->client.err.status, CWS_OK);
    assert_int_equal(peer_write(&f->client.peer, "hello", 5), CWS_OK);
    PUMP_UNTIL(f->loop, acceptor.peer.received.len == 5);
    peer_done(&acceptor.peer);
    side_done(&f->client);

    configure(&f->client, false, &other_ca, NULL); /* a client that turns away is no connection */
    connect_to(f, listener);
    PUMP_UNTIL(f->loop, f->client.done);
    settle(f->loop);
    expect_error(&f->client, "unable to get local issuer certificate");
    assert_int_equal(acceptor.count, 1);
    side_done(&f->client);

    configure(&f->client, false, &ca, NULL);
    connect_to(f, listener);
    cws_listener_free(listener); /* with a handshake under way or not even accepted */
    PUMP_UNTIL(f->loop, f->client.done);
    assert_int_not_equal(f->client.err.status, CWS_OK);
    assert_int_equal(acceptor.count, 1);
}

static int connect_silently(const struct cws_listener *listener)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr;
    assert_int_equal(uv_ip4_addr("127.0.0.1", cws_listener_port(listener), &addr), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void silent_client(struct fixture *f, uint64_t handshake_ns)
{
    struct acceptor acceptor = {0};
    struct cws_listener *listener = NULL;
    struct cws_error err = {0};
    char byte;
    configure(&f->server, true, NULL, &server_cert);
    struct cws_listen_options options = {
        .host = "127.0.0.1", .tls = f->server.config, .handshake_ns = handshake_ns};
    assert_int_equal(cws_listener_new(f->loop, &options, on_accept, &acceptor, &listener, &err),
                     CWS_OK);
    int fd = connect_silently(listener);
    settle(f->loop); /* the handshake is under way */
    if (handshake_ns == 0) {
        cws_listener_free(listener);
        listener = NULL;
    }
    PUMP_UNTIL(f->loop, recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
    assert_int_equal(acceptor.count, 0);
    close(fd);
    cws_listener_free(listener);
    side_done(&f->server);
}

/* Someone who connects and says nothing is let go: in time, and with the listener. */
/* One more than there may be: the oldest makes room, the others stay. */
static void test_silent_clients_make_room_for_each_other(void **state)
{
    struct fixture *f = *state;
    struct acceptor acceptor = {0};
    struct cws_listener *listener = NULL;
    struct cws_error err = {0};
    int fds[CWS_LISTEN_MAX_HANDSHAKES + 1];
    char byte;
    configure(&f->server, true, NULL, &server_cert);
    struct cws_listen_options options = {.host = "127.0.0.1", .tls = f->server.config};
    assert_int_equal(cws_listener_new(f->loop, &options, on_accept, &acceptor, &listener, &err),
                     CWS_OK);
    for (size_t i = 0; i < CWS_ARRAY_LEN(fds); i++)
        fds[i] = connect_silently(listener);
    PUMP_UNTIL(f->loop, recv(fds[0], &byte, 1, MSG_DONTWAIT) == 0);
    for (size_t i = 1; i < CWS_ARRAY_LEN(fds); i++)
        assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), -1);
    for (size_t i = 0; i < CWS_ARRAY_LEN(fds); i++)
        close(fds[i]);
    assert_int_equal(acceptor.count, 0);
    cws_listener_free(listener);
    side_done(&f->server);
}

static void test_listener_drops_a_silent_client(void **state)
{
    silent_client(*state, 20 * CWS_NS_PER_MS);
    silent_client(*state, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_big_streams_both_ways),
        TEST(test_each_length_around_the_slices),
        TEST(test_one_byte_at_a_time),
        TEST(test_pause_holds_data_back),
        TEST(test_pause_inside_on_data),
        TEST(test_data_waits_for_the_start),
        TEST(test_close_sends_close_notify),
        TEST(test_close_notify_is_half_a_close),
        TEST(test_the_end_of_sending_alone),
        TEST(test_cut_connection_is_an_error),
        TEST(test_write_to_gone_peer),
        TEST(test_close_inside_events),
        TEST(test_close_inside_done),
        TEST(test_cancel_at_each_stage),
        TEST(test_no_memory),
        TEST(test_each_allocation_fails_once),
        TEST(test_listener),
        TEST(test_listener_drops_a_silent_client),
        TEST(test_silent_clients_make_room_for_each_other),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
