/* For the tests of io/tls: both sides of a connection, over a socket pair, in one loop. */
#pragma once

#include "support/certs.h"
#include "support/peer.h"

#include "io/tls.h"

/* --- certificates: made once --- */

static struct cert ca, other_ca, server_cert, wrong_host, expired, no_san, client_cert, stranger;

static inline int make_certificates(void **state)
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

static inline int drop_certificates(void **state)
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

static inline int set_up(void **state)
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

static inline void side_done(struct side *side)
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

static inline int tear_down(void **state)
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

static inline enum cws_status config(struct cws_tls_config **out, bool server,
                                     const struct cert *roots, const struct cert *own,
                                     struct cws_error *err)
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

static inline void configure(struct side *side, bool server, const struct cert *roots,
                             const struct cert *own)
{
    struct cws_error err = {0};
    if (config(&side->config, server, roots, own, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static inline void on_done(void *ctx, struct cws_transport *transport, const struct cws_error *err)
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
    }
}

static inline void begin(struct fixture *f, struct side *side, struct cws_transport *below,
                         const char *host)
{
    side->in_start = true;
    side->start = cws_tls_start(f->loop, side->config, below, host, on_done, side);
    side->in_start = false;
    assert_non_null(side->start);
}

static inline struct cws_transport *sock_over(struct cws_loop *loop, int fd)
{
    struct cws_sock *sock = cws_sock_new(loop, AF_UNIX);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), fd), 0);
    return cws_sock_transport(sock);
}

static inline void fd_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

/* Both sides begin, over a fresh socket pair. */
static inline void begin_both(struct fixture *f, const char *host)
{
    int fds[2];
    fd_pair(fds);
    begin(f, &f->client, sock_over(f->loop, fds[0]), host);
    begin(f, &f->server, sock_over(f->loop, fds[1]), NULL);
}

static inline void shake_hands(struct fixture *f, const char *host)
{
    begin_both(f, host);
    PUMP_UNTIL(f->loop, f->client.done && f->server.done);
}

/* A connection between configured sides that is known to work. */
static inline void connect_both(struct fixture *f, const char *host)
{
    shake_hands(f, host);
    if (f->client.err.status || f->server.err.status)
        fail_msg("client: %s; server: %s", f->client.err.text, f->server.err.text);
}

static inline void connected(struct fixture *f)
{
    configure(&f->client, false, &ca, NULL);
    configure(&f->server, true, NULL, &server_cert);
    connect_both(f, "localhost");
}

static inline void exchange(struct fixture *f)
{
    struct peer *client = &f->client.peer, *server = &f->server.peer;
    assert_int_equal(peer_write(client, "question", 8), CWS_OK);
    PUMP_UNTIL(f->loop, server->received.len == 8);
    assert_true(peer_has(server, "question"));
    assert_int_equal(peer_write(server, "answer", 6), CWS_OK);
    PUMP_UNTIL(f->loop, client->received.len == 6);
    assert_true(peer_has(client, "answer"));
}

static inline void expect_error(const struct side *side, const char *text)
{
    assert_true(side->done);
    if (side->err.status != CWS_TLS || !strstr(side->err.text, text))
        fail_msg("status %d, text '%s', without '%s'", side->err.status, side->err.text, text);
}
