/* io/tls_request, io/tls_ca, io/tls_identity: a key, its certificate, and whom that names. */
#include "support/tls_pair.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "io/tls_ca.h"
#include "io/tls_request.h"

#define IDENTITY "cwsandbox:sb-1?permissions=25"

/* An authority, its certificate as PEM, and what it has issued. */
struct authority {
    struct cws_tls_ca *ca;
    struct cws_buf pem, cert, key;
};

static void authority_open(struct authority *a)
{
    struct cws_error err = {0};
    cws_buf_init(&a->pem, CWS_TLS_PEM_MAX);
    cws_buf_init(&a->cert, CWS_TLS_PEM_MAX);
    cws_buf_init(&a->key, CWS_TLS_PEM_MAX);
    assert_int_equal(cws_tls_ca_new("an authority", &a->ca, &err), CWS_OK);
    assert_int_equal(cws_tls_ca_write(a->ca, &a->pem, &err), CWS_OK);
}

static void authority_done(struct authority *a)
{
    cws_tls_ca_free(a->ca);
    cws_buf_done(&a->pem);
    cws_buf_done(&a->cert);
    cws_buf_done(&a->key);
}

static void configure_with(struct side *side, bool server, const struct cws_buf *roots,
                           const struct cws_buf *cert, const struct cws_buf *key)
{
    struct cws_error err = {0};
    const struct cws_tls_options options = {
        .roots_pem = (const char *)cws_buf_bytes(roots),
        .roots_len = roots->len,
        .cert_pem = (const char *)cws_buf_bytes(cert),
        .cert_len = cert->len,
        .key_pem = (const char *)cws_buf_bytes(key),
        .key_len = key->len,
        .server = server,
    };
    if (cws_tls_config_new(&options, &side->config, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

/* A server at `host` of one authority, a client that another has signed and that trusts `trusted`;
 * both sides have begun. */
static void meet(struct fixture *f, struct authority *servers, struct authority *clients,
                 const struct authority *trusted, const char *host, int64_t expires_s)
{
    struct cws_tls_request request;
    struct cws_error err = {0};
    struct cws_buf cert;
    cws_buf_init(&cert, CWS_TLS_PEM_MAX);
    assert_int_equal(
        cws_tls_ca_issue_server(servers->ca, "127.0.0.1", &servers->cert, &servers->key, &err),
        CWS_OK);
    assert_int_equal(cws_tls_request_make(&request, &err), CWS_OK);
    assert_int_equal(cws_tls_ca_sign_client(clients->ca, cws_buf_bytes(&request.csr_der),
                                            request.csr_der.len, IDENTITY, expires_s, &cert, &err),
                     CWS_OK);
    configure_with(&f->client, false, &trusted->pem, &cert, &request.key_pem);
    configure_with(&f->server, true, &servers->pem, &servers->cert, &servers->key);
    cws_tls_request_done(&request);
    cws_buf_done(&cert);
    f->server.lazy = true;
    begin_both(f, host);
}

static void test_both_ends_know_each_other(void **state)
{
    struct fixture *f = *state;
    struct authority a;
    authority_open(&a);
    int64_t expires_s = time(NULL) + 600;
    meet(f, &a, &a, &a, "127.0.0.1", expires_s);
    PUMP_UNTIL(f->loop, f->client.done && f->server.done);
    assert_non_null(f->server.idle);
    const struct cws_identity *identity = cws_transport_identity(f->server.idle);
    assert_non_null(identity);
    assert_string_equal(identity->uri, IDENTITY);
    assert_int_equal(identity->expires_s, expires_s);
    assert_null(cws_transport_identity(f->client.peer.transport)); /* of clients only */
    authority_done(&a);
}

static X509 *read_certificate(const struct cws_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(cws_buf_bytes(pem), (int)pem->len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static int verify_at(X509 *root, X509 *cert, time_t now)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_STORE_CTX_set_time(ctx, 0, now);
    (void)X509_verify_cert(ctx);
    int error = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return error;
}

/* Before they were made, too: clocks are set back, and some machines start without one. */
static void test_servers_are_trusted_whatever_the_clock_says(void **state)
{
    static const time_t clocks[] = {1, 946684800, 4102444800, 32503680000};
    struct authority a;
    struct cws_error err = {0};
    (void)state;
    authority_open(&a);
    assert_int_equal(cws_tls_ca_issue_server(a.ca, "127.0.0.1", &a.cert, &a.key, &err), CWS_OK);
    X509 *root = read_certificate(&a.pem), *cert = read_certificate(&a.cert);
    for (size_t i = 0; i < CWS_ARRAY_LEN(clocks); i++)
        assert_string_equal(X509_verify_cert_error_string(verify_at(root, cert, clocks[i])), "ok");
    X509_free(root);
    X509_free(cert);
    authority_done(&a);
}

static void test_who_shows_nothing_has_no_identity(void **state)
{
    struct fixture *f = *state;
    f->server.lazy = true;
    connected(f);
    assert_null(cws_transport_identity(f->server.idle));
}

/* The server learns it at the end of the handshake; whether the client does depends on the
 * protocol. */
static void test_clients_that_are_not_let_in(void **state)
{
    struct fixture *f = *state;
    struct authority ours, other;
    authority_open(&ours);
    authority_open(&other);
    meet(f, &ours, &other, &ours, "127.0.0.1", time(NULL) + 600);
    PUMP_UNTIL(f->loop, f->server.done);
    expect_error(&f->server, "certificate verify failed");
    side_done(&f->client);
    side_done(&f->server);
    cws_buf_consume(&ours.cert, ours.cert.len);
    cws_buf_consume(&ours.key, ours.key.len);
    meet(f, &ours, &ours, &ours, "127.0.0.1", time(NULL) - 1);
    PUMP_UNTIL(f->loop, f->server.done);
    expect_error(&f->server, "certificate has expired");
    authority_done(&ours);
    authority_done(&other);
}

static void test_servers_that_are_not_trusted(void **state)
{
    struct fixture *f = *state;
    struct authority ours, other;
    authority_open(&ours);
    authority_open(&other);
    meet(f, &ours, &ours, &other, "127.0.0.1", time(NULL) + 600);
    PUMP_UNTIL(f->loop, f->client.done && f->server.done);
    expect_error(&f->client, "certificate verify failed");
    side_done(&f->client);
    side_done(&f->server);
    cws_buf_consume(&ours.cert, ours.cert.len);
    cws_buf_consume(&ours.key, ours.key.len);
    meet(f, &ours, &ours, &ours, "127.0.0.2", time(NULL) + 600);
    PUMP_UNTIL(f->loop, f->client.done && f->server.done);
    expect_error(&f->client, "IP address mismatch");
    authority_done(&ours);
    authority_done(&other);
}

static void test_a_request_names_nobody(void **state)
{
    (void)state;
    struct cws_tls_request request, second;
    struct cws_error err = {0};
    assert_int_equal(cws_tls_request_make(&request, &err), CWS_OK);
    assert_int_equal(cws_tls_request_make(&second, &err), CWS_OK);
    const unsigned char *at = cws_buf_bytes(&request.csr_der);
    X509_REQ *parsed = d2i_X509_REQ(NULL, &at, (long)request.csr_der.len);
    assert_non_null(parsed);
    assert_ptr_equal(at, cws_buf_bytes(&request.csr_der) + request.csr_der.len);
    assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(parsed)), 0);
    assert_int_equal(X509_REQ_get_attr_count(parsed), 0);
    assert_int_equal(X509_REQ_get_signature_nid(parsed), NID_ecdsa_with_SHA256);
    assert_int_equal(X509_REQ_verify(parsed, X509_REQ_get0_pubkey(parsed)), 1);
    X509_REQ_free(parsed);
    const char *pem = (const char *)cws_buf_bytes(&request.key_pem);
    assert_memory_equal(pem, "-----BEGIN PRIVATE KEY-----\n", 28);
    assert_true(request.key_pem.len != second.key_pem.len ||
                memcmp(pem, cws_buf_bytes(&second.key_pem), request.key_pem.len) != 0);
    cws_tls_request_done(&request);
    cws_tls_request_done(&second);
}

static void test_requests_that_are_not_signed(void **state)
{
    (void)state;
    struct authority a;
    struct cws_tls_request request;
    struct cws_error err = {0};
    authority_open(&a);
    assert_int_equal(cws_tls_request_make(&request, &err), CWS_OK);
    uint8_t *der = request.csr_der.data + request.csr_der.head;
    size_t len = request.csr_der.len;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(
            cws_tls_ca_sign_client(a.ca, der, cut, IDENTITY, time(NULL) + 9, &a.cert, &err),
            CWS_INVALID);
    assert_string_equal(err.text, "is not one certificate request (PKCS#10) in DER");
    uint8_t *large = calloc(1, CWS_TLS_REQUEST_MAX + 1);
    memcpy(large, der, len);
    assert_int_equal(cws_tls_ca_sign_client(a.ca, large, CWS_TLS_REQUEST_MAX + 1, IDENTITY,
                                            time(NULL) + 9, &a.cert, &err),
                     CWS_INVALID);
    assert_string_equal(err.text, "has 16385 bytes; at most 16384 are allowed");
    free(large);
    der[len - 1] ^= 1;
    assert_int_equal(
        cws_tls_ca_sign_client(a.ca, der, len, IDENTITY, time(NULL) + 9, &a.cert, &err),
        CWS_INVALID);
    assert_string_equal(err.text, "is not signed with the key that it is for");
    assert_int_equal(a.cert.len, 0);
    cws_tls_request_done(&request);
    authority_done(&a);
}

/* One that was saved and loaded is the same: who trusts the one trusts what the other issues. */
static void test_an_authority_can_be_kept(void **state)
{
    struct authority made;
    struct cws_tls_ca *loaded = NULL;
    struct cws_buf saved, cert;
    struct cws_error err = {0};
    (void)state;
    authority_open(&made);
    cws_buf_init(&saved, CWS_TLS_PEM_MAX);
    cws_buf_init(&cert, CWS_TLS_PEM_MAX);
    assert_int_equal(cws_tls_ca_save(made.ca, &saved, &err), CWS_OK);
    const char *pem = (const char *)cws_buf_bytes(&saved);
    assert_int_equal(cws_tls_ca_load(pem, saved.len, &loaded, &err), CWS_OK);
    assert_int_equal(cws_tls_ca_write(loaded, &cert, &err), CWS_OK);
    assert_int_equal(cert.len, made.pem.len);
    assert_memory_equal(cws_buf_bytes(&cert), cws_buf_bytes(&made.pem), cert.len);
    cws_tls_ca_free(loaded);
    for (size_t len = 0; len < saved.len - 40; len += 97)
        assert_int_equal(cws_tls_ca_load(pem, len, &loaded, &err), CWS_INVALID);
    cws_buf_done(&saved);
    cws_buf_done(&cert);
    authority_done(&made);
}

static void test_a_key_of_another_certificate(void **state)
{
    struct authority one, other;
    struct cws_tls_ca *loaded = NULL;
    struct cws_buf mixed;
    struct cws_error err = {0};
    (void)state;
    authority_open(&one);
    authority_open(&other);
    cws_buf_init(&mixed, CWS_TLS_PEM_MAX);
    assert_int_equal(cws_tls_ca_save(one.ca, &mixed, &err), CWS_OK);
    assert_int_equal(cws_buf_append(&mixed, "", 1), CWS_OK);
    const char *end = strstr((const char *)cws_buf_bytes(&mixed), "-----BEGIN CERTIFICATE");
    mixed.len = (size_t)(end - (const char *)cws_buf_bytes(&mixed));
    assert_int_equal(cws_buf_append(&mixed, cws_buf_bytes(&other.pem), other.pem.len), CWS_OK);
    assert_int_equal(cws_tls_ca_load((const char *)cws_buf_bytes(&mixed), mixed.len, &loaded, &err),
                     CWS_INVALID);
    cws_buf_done(&mixed);
    authority_done(&one);
    authority_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_both_ends_know_each_other),
        TEST(test_servers_are_trusted_whatever_the_clock_says),
        TEST(test_who_shows_nothing_has_no_identity),
        TEST(test_clients_that_are_not_let_in),
        TEST(test_servers_that_are_not_trusted),
        TEST(test_a_request_names_nobody),
        TEST(test_requests_that_are_not_signed),
        TEST(test_an_authority_can_be_kept),
        TEST(test_a_key_of_another_certificate),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
