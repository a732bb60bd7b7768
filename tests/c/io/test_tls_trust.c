/* io/tls: whom it trusts and whom it refuses, and the options that decide it. */
#include "support/tls_pair.h"

#include <openssl/ssl.h>

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

/* `arg` is the name of the protocol. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)in;
    (void)in_len;
    *out = arg;
    *out_len = (unsigned char)strlen(arg);
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

static void server_without_h2(struct fixture *f, SSL_CTX_alpn_select_cb_func answer)
{
    static char http1[] = "http/1.1";
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, true, fds[1]);
    if (answer)
        SSL_CTX_set_alpn_select_cb(raw.ctx, answer, http1);
    raw_begin(&raw, true);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    raw_shake_hands(f, &raw, &f->client);
    /* OpenSSL itself may notice that http/1.1 was not offered. */
    expect_error(&f->client, answer == choose ? "" : "no ALPN h2");
    side_done(&f->client);
    raw_done(&raw);
}

static void test_server_without_h2(void **state)
{
    server_without_h2(*state, NULL);
    server_without_h2(*state, choose);
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

static void test_server_that_wants_to_renegotiate(void **state)
{
    static char h2[] = "h2";
    struct fixture *f = *state;
    struct raw raw;
    int fds[2];
    fd_pair(fds);
    raw_open(&raw, true, fds[1]);
    SSL_CTX_set_max_proto_version(raw.ctx, TLS1_2_VERSION);
    SSL_CTX_set_alpn_select_cb(raw.ctx, choose, h2);
    raw_begin(&raw, true);
    configure(&f->client, false, &ca, NULL);
    begin(f, &f->client, sock_over(f->loop, fds[0]), "localhost");
    raw_shake_hands(f, &raw, &f->client);
    assert_int_equal(f->client.err.status, CWS_OK);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    (void)!SSL_do_handshake(raw.ssl); /* the request for it goes out */
    settle(f->loop);
    char byte;
    int rc = SSL_read(raw.ssl, &byte, 1);
    assert_int_equal(SSL_get_error(raw.ssl, rc), SSL_ERROR_SSL); /* refused by an alert */
    side_done(&f->client);
    raw_done(&raw);
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
    assert_true(recv(fds[1], hello, sizeof(hello), 0) >
                0); /* unread, it would make a reset of it */
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
        TEST(test_server_that_wants_to_renegotiate),
        TEST(test_peer_that_does_not_speak_tls),
        TEST(test_peer_that_leaves_during_the_handshake),
        TEST(test_peer_that_had_left_before),
        TEST(test_roots_from_the_environment),
        TEST(test_system_roots),
        TEST(test_bad_roots_are_named),
        TEST(test_bad_options_are_named),
        TEST(test_intermediate_certificate),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
