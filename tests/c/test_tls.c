/* io/tls: both roles over real sockets, whom they trust, and each way it can end. */
#include "certs.h"
#include "peer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <openssl/ssl.h>

#include "io/listen.h"
#include "io/tls.h"

#define BIG ((size_t)8 << 20)

/* --- certificates: made once --- */

static struct cert ca, other_ca, server_cert, wrong_host, expired, no_san, client_cert, stranger;

static int make_certificates(void **state)
{
    (void)state;
    const char *san = "DNS:localhost,DNS:sandbox.test,IP:127.0.0.1,IP:::1";
    cert_make(&ca, &(struct cert_wish){.name = "test CA", .ca = true});
    cert_make(&other_ca, &(struct cert_wish){.name = "other CA", .ca = true});
    cert_make(&server_cert, &(struct cert_wish){.name = "server", .san = san, .issuer = &ca});
    cert_make(&wrong_host,
              &(struct cert_wish){.name = "localhost", .san = "DNS:other.test", .issuer = &ca});
    cert_make(&expired,
              &(struct cert_wish){.name = "old", .san = san, .issuer = &ca, .expired = true});
    cert_make(&no_san, &(struct cert_wish){.name = "localhost", .issuer = &ca});
    cert_make(&client_cert, &(struct cert_wish){.name = "client", .issuer = &ca});
    cert_make(&stranger, &(struct cert_wish){.name = "stranger", .issuer = &other_ca});
    return 0;
}

static int drop_certificates(void **state)
{
    (void)state;
    struct cert *all[] = {&ca,      &other_ca, &server_cert, &wrong_host,
                          &expired, &no_san,   &client_cert, &stranger};
    for (size_t i = 0; i < CWS_ARRAY_LEN(all); i++)
        cert_done(all[i]);
    return 0;
}

/* --- what the tests stand on --- */

/* One side of a handshake, and what became of it. */
struct side {
    struct cws_tls_config *config;
    struct cws_tls_start *start;
    struct peer peer;
    struct cws_transport *idle; /* handed over, not started: when `lazy` */
    bool done;
    bool lazy;
    bool in_start;
    bool close_at_once;
    struct cws_error err;
};

struct fixture {
    struct cws_loop *loop;
    size_t live;
    struct side client, server;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    unsetenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH");
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    f->live = cws_alloc_live();
    f->loop = loop_open();
    peer_init(&f->client.peer);
    peer_init(&f->server.peer);
    *state = f;
    return 0;
}

static void side_done(struct side *side)
{
    peer_done(&side->peer);
    if (side->idle)
        cws_transport_close(side->idle);
    if (side->start && !side->done)
        cws_tls_cancel(side->start);
    cws_tls_config_unref(side->config);
    *side = (struct side){0};
    peer_init(&side->peer);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    side_done(&f->client);
    side_done(&f->server);
    loop_close(f->loop);
    size_t live = cws_alloc_live();
    size_t before = f->live;
    test_free(f);
    return live == before ? 0 : -1;
}

static enum cws_status config(struct cws_tls_config **out, bool server, const struct cert *roots,
                              const struct cert *own, struct cws_error *err)
{
    struct cws_tls_options options = {.server = server};
    if (roots) {
        options.roots_pem = roots->pem;
        options.roots_len = strlen(roots->pem);
    }
    if (own) {
        options.cert_pem = own->pem;
        options.cert_len = strlen(own->pem);
        options.key_pem = own->key_pem;
        options.key_len = strlen(own->key_pem);
    }
    return cws_tls_config_new(&options, out, err);
}

static void configure(struct side *side, bool server, const struct cert *roots,
                      const struct cert *own)
{
    struct cws_error err = {0};
    if (config(&side->config, server, roots, own, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static void on_done(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct side *side = ctx;
    assert_false(side->in_start);
    assert_false(side->done);
    side->done = true;
    assert_true(!transport == !!err);
    if (err) {
        side->err = *err;
    } else if (side->close_at_once) {
        cws_transport_close(transport);
    } else if (side->lazy) {
        side->idle = transport;
    } else {
        peer_start(&side->peer, transport);
        assert_string_equal(cws_transport_alpn(transport), "h2");
    }
}

static void begin(struct fixture *f, struct side *side, struct cws_transport *below,
                  const char *host)
{
    side->in_start = true;
    side->start = cws_tls_start(f->loop, side->config, below, host, on_done, side);
    side->in_start = false;
    assert_non_null(side->start);
}

static struct cws_transport *sock_over(struct cws_loop *loop, int fd)
{
    struct cws_sock *sock = cws_sock_new(loop, AF_UNIX);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fd), 0);
    return cws_sock_transport(sock);
}

static void fd_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

/* Both sides begin, over a fresh socket pair. */
static void begin_both(struct fixture *f, const char *host)
{
    int fds[2];
    fd_pair(fds);
    begin(f, &f->client, sock_over(f->loop, fds[0]), host);
    begin(f, &f->server, sock_over(f->loop, fds[1]), NULL);
}

static void shake_hands(struct fixture *f, const char *host)
{
    begin_both(f, host);
    PUMP_UNTIL(f->loop, f->client.done && f->server.done);
}

/* A connection between configured sides that is known to work. */
static void connect_both(struct fixture *f, const char *host)
{
    shake_hands(f, host);
    if (f->client.err.status || f->server.err.status)
        fail_msg("client: %s; server: %s", f->client.err.text, f->server.err.text);
}

static void connected(struct fixture *f)
{
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    connect_both(f, "localhost");
}

static void exchange(struct fixture *f)
{
    struct peer *client = &f->client.peer, *server = &f->server.peer;
    assert_int_equal(peer_write(client, "question", 8), CWS_OK);
    PUMP_UNTIL(f->loop, server->received.len == 8);
    assert_true(peer_has(server, "question"));
    assert_int_equal(peer_write(server, "answer", 6), CWS_OK);
    PUMP_UNTIL(f->loop, client->received.len == 6);
    assert_true(peer_has(client, "answer"));
}

static void expect_error(const struct side *side, const char *text)
{
    assert_true(side->done);
    if (side->err.status != CWS_TLS || !strstr(side->err.text, text))
        fail_msg("status %d, text '%s', without '%s'", side->err.status, side->err.text, text);
}

/* --- who is who --- */

static void test_names_and_addresses_that_match(void **state)
{
    struct fixture *f = *state;
    const char *const hosts[] = {"localhost", "sandbox.test", "sandbox.test.", "SANDBOX.test",
                                 "127.0.0.1", "::1",          "::1%lo"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        configure(&f->client, false, &ca, NULL);
        configure(&f->server, true, NULL, &server_cert);
        connect_both(f, hosts[i]);
        exchange(f);
        side_done(&f->client);
        side_done(&f->server);
    }
}

static void refused(struct fixture *f, const struct cert *roots, const struct cert *own,
                    const char *host, const char *text)
{
    configure(&f->client, false, roots, NULL);
    configure(&f->server, true, NULL, own);
    shake_hands(f, host);
    expect_error(&f->client, text);
    assert_int_equal(f->server.err.status, CWS_TLS);
    side_done(&f->client);
    side_done(&f->server);
}

static void test_certificates_that_do_not_do(void **state)
{
    struct fixture *f = *state;
    refused(f, &ca, &wrong_host, "localhost",
            "certificate verify failed: hostname mismatch: it is not valid for 'localhost'");
    refused(f, &ca, &server_cert, "127.0.0.2", "certificate verify failed: IP address mismatch");
    refused(f, &ca, &server_cert, "sub.sandbox.test", "hostname mismatch");
    refused(f, &ca, &no_san, "localhost", "hostname mismatch"); /* the subject is no host name */
    refused(f, &ca, &expired, "localhost", "certificate verify failed: certificate has expired");
    refused(f, &other_ca, &server_cert, "localhost",
            "certificate verify failed: unable to get local issuer certificate");
    refused(f, &ca, &server_cert, "a name", "hostname mismatch");
}

static void test_host_that_cannot_be_one(void **state)
{
    struct fixture *f = *state;
    char endless[400];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    refused(f, &ca, &server_cert, endless, "no certificate can be for 'xxx");
}

static void test_client_certificate(void **state)
{
    struct fixture *f = *state;
    configure(&f->client, false, &ca, &client_cert);
    configure(&f->server, true, &ca, &server_cert);
    connect_both(f, "localhost");
    exchange(f);
}

/* TLS 1.3 tells a client so after its own side of the handshake has finished. */
static void client_refused(struct fixture *f, const struct cert *own, const char *client_text,
                           const char *server_text)
{
    configure(&f->client, false, &ca, own);
    configure(&f->server, true, &ca, &server_cert);
    shake_hands(f, "localhost");
    expect_error(&f->server, server_text);
    PUMP_UNTIL(f->loop, f->client.peer.closed);
    assert_int_equal(f->client.peer.err.status, CWS_TLS);
    assert_non_null(strstr(f->client.peer.err.text, client_text));
    side_done(&f->client);
    side_done(&f->server);
}

static void test_client_certificate_absent_or_unknown(void **state)
{
    struct fixture *f = *state;
    client_refused(f, NULL, "certificate required", "peer did not return a certificate");
    client_refused(f, &stranger, "unknown ca", "unable to get local issuer certificate");
}

/* --- peers by OpenSSL alone, to be what our own side never is --- */

struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void raw_open(struct raw *raw, bool server, int fd)
{
    raw->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    raw->fd = fd;
    if (server) {
        assert_int_equal(SSL_CTX_use_certificate(raw->ctx, server_cert.x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(raw->ctx, server_cert.key), 1);
    }
}

static void raw_begin(struct raw *raw, bool server)
{
    raw->ssl = SSL_new(raw->ctx);
    SSL_set_fd(raw->ssl, raw->fd);
    if (server)
        SSL_set_accept_state(raw->ssl);
    else
        SSL_set_connect_state(raw->ssl);
}

static void raw_done(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->ctx);
    close(raw->fd);
}

static void raw_shake_hands(struct fixture *f, struct raw *raw, const struct side *side)
{
    bool over = false;
    while (!side->done) {
        if (!over) {
            int rc = SSL_do_handshake(raw->ssl);
            int why = SSL_get_error(raw->ssl, rc);
            over = rc == 1 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE);
        }
        pump(f->loop);
    }
}

static int choose_http1(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)in;
    (void)in_len;
    (void)arg;
    *out = (const unsigned char *)"http/1.1";
    *out_len = 8;
    return SSL_TLSEXT_ERR_OK;
}

static int refuse_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)out;
    (void)out_len;
    (void)in;
    (void)in_len;
    (void)arg;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void server_without_h2(struct fixture *f, SSL_CTX_alpn_select_cb_func choose)
{
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, true, fds[1]);
    if (choose)
        SSL_CTX_set_alpn_select_cb(raw.ctx, choose, NULL);
    raw_begin(&raw, true);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    raw_shake_hands(f, &raw, &f->client);
    /* OpenSSL itself may notice that http/1.1 was not offered. */
    expect_error(&f->client, choose == choose_http1 ? "" : "no ALPN h2");
    side_done(&f->client);
    raw_done(&raw);
}

static void test_server_without_h2(void **state)
{
    server_without_h2(*state, NULL);
    server_without_h2(*state, choose_http1);
    server_without_h2(*state, refuse_alpn);
}

static void client_without_h2(struct fixture *f, const char *offer)
{
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, false, fds[1]);
    if (offer)
        SSL_CTX_set_alpn_protos(raw.ctx, (const unsigned char *)offer, (unsigned)strlen(offer));
    raw_begin(&raw, false);
    configure(&f->server, true, NULL, &server_cert);
    begin(f, &f->server, sock_over(f->loop, fds[0]), NULL);
    raw_shake_hands(f, &raw, &f->server);
    expect_error(&f->server, offer ? "application protocol" : "no ALPN h2");
    side_done(&f->server);
    raw_done(&raw);
}

static void test_client_without_h2(void **state)
{
    client_without_h2(*state, NULL);
    client_without_h2(*state, "\x08http/1.1");
}

static void old_protocol(struct fixture *f, bool server_is_old)
{
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, server_is_old, fds[1]);
    SSL_CTX_set_min_proto_version(raw.ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(raw.ctx, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(raw.ctx, "ALL:@SECLEVEL=0");
    raw_begin(&raw, server_is_old);
    struct side *side = server_is_old ? &f->client : &f->server;
    configure(side, !server_is_old, server_is_old ? &ca : NULL,
              server_is_old ? NULL : &server_cert);
    begin(f, side, sock_over(f->loop, fds[0]), server_is_old ? "localhost" : NULL);
    raw_shake_hands(f, &raw, side);
    expect_error(side, server_is_old ? "protocol version" : "unsupported protocol");
    side_done(side);
    raw_done(&raw);
}

static void test_old_protocols_are_refused(void **state)
{
    old_protocol(*state, true);
    old_protocol(*state, false);
}

static void tls12_client(struct fixture *f, bool renegotiate)
{
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, false, fds[1]);
    SSL_CTX_set_max_proto_version(raw.ctx, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(raw.ctx, (const unsigned char *)"\x02h2", 3);
    raw_begin(&raw, false);
    configure(&f->server, true, NULL, &server_cert);
    begin(f, &f->server, sock_over(f->loop, fds[0]), NULL);
    raw_shake_hands(f, &raw, &f->server);
    assert_int_equal(f->server.err.status, CWS_OK);
    PUMP_UNTIL(f->loop, SSL_do_handshake(raw.ssl) == 1);
    assert_string_equal(SSL_get_version(raw.ssl), "TLSv1.2");
    if (renegotiate) {
        assert_int_equal(SSL_renegotiate(raw.ssl), 1);
        for (int i = 0; i < 20; i++) {
            (void)!SSL_do_handshake(raw.ssl);
            settle(f->loop);
        }
        assert_int_not_equal(SSL_get_state(raw.ssl), TLS_ST_OK); /* it was refused */
    } else {
        assert_int_equal(SSL_write(raw.ssl, "old but good", 12), 12);
        PUMP_UNTIL(f->loop, f->server.peer.received.len == 12);
    }
    side_done(&f->server);
    raw_done(&raw);
}

static void test_tls12_without_renegotiation(void **state)
{
    tls12_client(*state, false);
    tls12_client(*state, true);
}

static void test_peer_that_does_not_speak_tls(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    fd_pair(fds);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    const char *text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_int_equal(send(fds[1], text, strlen(text), 0), strlen(text));
    PUMP_UNTIL(f->loop, f->client.done);
    expect_error(&f->client, "the peer does not speak TLS");
    close(fds[1]);
}

static void test_peer_that_leaves_during_the_handshake(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    fd_pair(fds);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    char hello[4096];
    assert_true(recv(fds[1], hello, sizeof(hello), 0) > 0); /* unread, it would make a reset of it */
    close(fds[1]);
    PUMP_UNTIL(f->loop, f->client.done);
    expect_error(&f->client, "TLS handshake: the peer closed the connection");
}

static void test_peer_that_had_left_before(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    fd_pair(fds);
    close(fds[1]);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    PUMP_UNTIL(f->loop, f->client.done);
    assert_int_equal(f->client.err.status, CWS_IO);
    assert_non_null(strstr(f->client.err.text, "broken pipe"));
}

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

/* The whole way again, one byte at a time. */
static void test_one_byte_at_a_time(void **state)
{
    struct fixture *f = *state;
    int a[2], b[2];
    fd_pair(a);
    fd_pair(b);
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    begin(f, &f->client, sock_over(f->loop, a[0]), "localhost");
    begin(f, &f->server, sock_over(f->loop, b[0]), NULL);
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

static const struct cws_transport_events pausing_events = {pausing_on_data, peer_on_drained,
                                                           peer_on_closed};

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

static void test_cut_connection_is_an_error(void **state)
{
    struct fixture *f = *state;
    int a[2], b[2];
    fd_pair(a);
    fd_pair(b);
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    begin(f, &f->client, sock_over(f->loop, a[0]), "localhost");
    begin(f, &f->server, sock_over(f->loop, b[0]), NULL);
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

/* --- whom a client trusts without being told --- */

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void env_is_trusted(struct fixture *f, const char *name, const char *value)
{
    setenv(name, value, 1);
    configure(&f->client, false, NULL, NULL);
    configure(&f->server, true, NULL, &server_cert);
    connect_both(f, "localhost");
    exchange(f);
    side_done(&f->client);
    side_done(&f->server);
    unsetenv(name);
}

static void test_roots_from_the_environment(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/cws-roots-XXXXXX", other[] = "/tmp/cws-roots-XXXXXX";
    char dir[] = "/tmp/cws-roots-XXXXXX", hashed[64], dirs[128];
    write_file(path, ca.pem);
    write_file(other, other_ca.pem);
    assert_non_null(mkdtemp(dir));
    snprintf(hashed, sizeof(hashed), "%s/%08lx.0", dir, X509_subject_name_hash(ca.x509));
    assert_int_equal(symlink(path, hashed), 0);
    snprintf(dirs, sizeof(dirs), "/nonexistent:%s", dir);

    env_is_trusted(f, "SSL_CERT_FILE", path);
    env_is_trusted(f, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", path);
    env_is_trusted(f, "SSL_CERT_DIR", dir);
    env_is_trusted(f, "SSL_CERT_DIR", dirs);
    setenv("SSL_CERT_FILE", other, 1); /* gRPC's own wins */
    env_is_trusted(f, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", path);
    env_is_trusted(f, "SSL_CERT_DIR", dir); /* both count */
    refused(f, NULL, &server_cert, "localhost", "unable to get local issuer certificate");
    unlink(hashed);
    rmdir(dir);
    unlink(path);
    unlink(other);
}

static void test_system_roots(void **state)
{
    struct fixture *f = *state;
    struct cws_error err = {0};
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0)
        skip();
    assert_int_equal(config(&f->client.config, false, NULL, NULL, &err), CWS_OK);
    side_done(&f->client);
    refused(f, NULL, &server_cert, "localhost", "unable to get local issuer certificate");
}

static void bad_env(const char *name, const char *value, const char *text)
{
    struct cws_tls_config *out = NULL;
    struct cws_error err = {0};
    setenv(name, value, 1);
    assert_int_equal(config(&out, false, NULL, NULL, &err), CWS_TLS);
    if (!strstr(err.text, text))
        fail_msg("'%s' without '%s'", err.text, text);
    unsetenv(name);
}

static void test_bad_roots_are_named(void **state)
{
    (void)state;
    char path[] = "/tmp/cws-roots-XXXXXX", text[128];
    write_file(path, "no certificate\n");
    bad_env("SSL_CERT_FILE", "/nonexistent",
            "cannot use SSL_CERT_FILE=/nonexistent: No such file or directory");
    bad_env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/nonexistent",
            "cannot use GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=/nonexistent");
    bad_env("SSL_CERT_DIR", "/nonexistent:/dev/null",
            "cannot use SSL_CERT_DIR=/nonexistent:/dev/null: no such directory");
    snprintf(text, sizeof(text), "cannot use SSL_CERT_FILE=%s: no certificate", path);
    bad_env("SSL_CERT_FILE", path, text);
    unlink(path);
}

/* --- options that cannot be used --- */

static void bad_options(const struct cws_tls_options *options, const char *text)
{
    struct cws_tls_config *out = NULL;
    struct cws_error err = {0};
    assert_int_equal(cws_tls_config_new(options, &out, &err), CWS_TLS);
    if (!strstr(err.text, text))
        fail_msg("'%s' without '%s'", err.text, text);
    assert_null(out);
}

static void test_bad_options_are_named(void **state)
{
    (void)state;
    char *locked = key_to_pem(server_cert.key, "secret");
    char *broken = test_malloc(strlen(ca.pem) + 1);
    strcpy(broken, ca.pem);
    memset(strchr(broken, '\n') + 1, 'A', 30);
    struct {
        const char *roots, *cert, *key;
        bool server;
        const char *text;
    } cases[] = {
        {"", NULL, NULL, false, "cannot use roots_pem: no certificate in it"},
        {"rubbish", NULL, NULL, false, "cannot use roots_pem: no certificate in it"},
        {broken, NULL, NULL, false, "cannot use roots_pem: certificate 1"},
        {ca.pem, client_cert.pem, NULL, false, "key_pem is missing"},
        {ca.pem, NULL, client_cert.key_pem, false, "cert_pem is missing"},
        {ca.pem, "rubbish", client_cert.key_pem, false,
         "cannot use cert_pem: no certificate in it"},
        {ca.pem, client_cert.pem, "rubbish", false, "cannot use key_pem: no private key in it"},
        {ca.pem, client_cert.pem, server_cert.key_pem, false,
         "cannot use key_pem: private key: key values mismatch"},
        {ca.pem, server_cert.pem, locked, false,
         "cannot use key_pem: the private key is encrypted"},
        {NULL, NULL, NULL, true, "a server needs cert_pem and key_pem"},
        {NULL, server_cert.pem, NULL, true, "a server needs cert_pem and key_pem"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cws_tls_options options = {.server = cases[i].server,
                                          .roots_pem = cases[i].roots,
                                          .cert_pem = cases[i].cert,
                                          .key_pem = cases[i].key};
        options.roots_len = cases[i].roots ? strlen(cases[i].roots) : 0;
        options.cert_len = cases[i].cert ? strlen(cases[i].cert) : 0;
        options.key_len = cases[i].key ? strlen(cases[i].key) : 0;
        bad_options(&options, cases[i].text);
    }
    test_free(locked);
    test_free(broken);
}

/* The whole chain is sent: a client that knows the root alone can check a leaf two steps below. */
static void test_intermediate_certificate(void **state)
{
    struct fixture *f = *state;
    struct cert middle, leaf;
    cert_make(&middle, &(struct cert_wish){.name = "middle", .issuer = &ca, .ca = true});
    cert_make(&leaf,
              &(struct cert_wish){.name = "leaf", .san = "DNS:localhost", .issuer = &middle});
    char *chain = test_malloc(strlen(leaf.pem) + strlen(middle.pem) + 1);
    strcpy(chain, leaf.pem);
    strcat(chain, middle.pem);
    struct cws_tls_options options = {.server = true,
                                      .cert_pem = chain,
                                      .cert_len = strlen(chain),
                                      .key_pem = leaf.key_pem,
                                      .key_len = strlen(leaf.key_pem)};
    struct cws_error err = {0};
    assert_int_equal(cws_tls_config_new(&options, &f->server.config, &err), CWS_OK);
    configure(&f->client, false, &ca, NULL);
    connect_both(f, "localhost");
    exchange(f);
    test_free(chain);
    cert_done(&leaf);
    cert_done(&middle);
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
    assert_string_equal(cws_transport_alpn(transport), "h2");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_names_and_addresses_that_match),
        TEST(test_certificates_that_do_not_do),
        TEST(test_host_that_cannot_be_one),
        TEST(test_client_certificate),
        TEST(test_client_certificate_absent_or_unknown),
        TEST(test_server_without_h2),
        TEST(test_client_without_h2),
        TEST(test_old_protocols_are_refused),
        TEST(test_tls12_without_renegotiation),
        TEST(test_peer_that_does_not_speak_tls),
        TEST(test_peer_that_leaves_during_the_handshake),
        TEST(test_peer_that_had_left_before),
        TEST(test_big_streams_both_ways),
        TEST(test_each_length_around_the_slices),
        TEST(test_one_byte_at_a_time),
        TEST(test_pause_holds_data_back),
        TEST(test_pause_inside_on_data),
        TEST(test_data_waits_for_the_start),
        TEST(test_close_sends_close_notify),
        TEST(test_cut_connection_is_an_error),
        TEST(test_write_to_gone_peer),
        TEST(test_close_inside_events),
        TEST(test_close_inside_done),
        TEST(test_cancel_at_each_stage),
        TEST(test_roots_from_the_environment),
        TEST(test_system_roots),
        TEST(test_bad_roots_are_named),
        TEST(test_bad_options_are_named),
        TEST(test_intermediate_certificate),
        TEST(test_no_memory),
        TEST(test_each_allocation_fails_once),
        TEST(test_listener),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
