#include "io/tls_ca.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "io/tls_error.h"
#include "io/tls_key.h"

/* Clients' certificates are valid from so long before now: the other host's clock may be behind. */
#define LEEWAY_S    300
#define SERIAL_BITS 159 /* 20 octets at most, and positive (RFC 5280) */

struct cws_tls_ca {
    EVP_PKEY *key;
    X509 *cert;
};

/* In seconds since 1970. */
struct validity {
    int64_t from_s, until_s;
};

/* Of an authority and its servers: until 31 December 9999, which says that there is no end (RFC
 * 5280, 4.1.2.5). Clocks are set, by years where a machine has started without one, and neither the
 * connections of today nor an authority that is kept may be lost by that. */
static const struct validity always = {.until_s = 253402300799};

/* One extension: what it is, and its value as OpenSSL's configuration writes it. */
struct extension {
    int nid;
    const char *value;
};

static bool add_extension(X509 *cert, X509 *issuer, const struct extension *extension)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &ctx, extension->nid, extension->value);
    bool added = made && X509_add_ext(cert, made, -1) == 1;
    X509_EXTENSION_free(made);
    return added;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool set = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return set;
}

static bool set_name(X509 *cert, const char *name)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool set_times(X509 *cert, const struct validity *validity)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)validity->from_s) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)validity->until_s);
}

/* A certificate of `ca` for the key; with ca->cert NULL, that of the authority itself. NULL with
 * OpenSSL's errors queued. */
static X509 *issue(const struct cws_tls_ca *ca, EVP_PKEY *key, const char *name,
                   const struct validity *validity, const struct extension *extensions,
                   size_t count)
{
    X509 *cert = X509_new();
    if (!cert)
        return NULL;
    X509 *issuer = ca->cert ? ca->cert : cert;
    bool made = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
                set_times(cert, validity) && (!name || set_name(cert, name)) &&
                X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
                X509_set_pubkey(cert, key) == 1;
    for (size_t i = 0; made && i < count; i++)
        made = add_extension(cert, issuer, &extensions[i]);
    if (made && X509_sign(cert, ca->key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

/* ---- the authority -------------------------------------------------------------------------- */

enum cws_status cws_tls_ca_new(const char *name, struct cws_tls_ca **out_ca, struct cws_error *err)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign"},
        {NID_subject_key_identifier, "hash"},
    };
    ERR_clear_error();
    struct cws_tls_ca *ca = cws_calloc(1, sizeof(*ca));
    if (!ca)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a certificate authority");
    ca->key = cws_tls_key_new();
    if (ca->key)
        ca->cert = issue(ca, ca->key, name, &always, extensions, CWS_ARRAY_LEN(extensions));
    if (ca->cert) {
        *out_ca = ca;
        return CWS_OK;
    }
    cws_tls_ca_free(ca);
    return cws_tls_error_set(err, "cannot make a certificate authority");
}

void cws_tls_ca_free(struct cws_tls_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    cws_free(ca);
}

static enum cws_status tell(enum cws_status status, const char *what, struct cws_error *err)
{
    if (status == CWS_OK)
        return CWS_OK;
    if (status == CWS_TLS)
        return cws_tls_error_set(err, what);
    return cws_error_set(err, status, "%s: %s", what, cws_status_text(status));
}

enum cws_status cws_tls_ca_write(const struct cws_tls_ca *ca, struct cws_buf *into,
                                 struct cws_error *err)
{
    ERR_clear_error();
    return tell(cws_tls_cert_write(ca->cert, into), "cannot write the authority's certificate",
                err);
}

enum cws_status cws_tls_ca_save(const struct cws_tls_ca *ca, struct cws_buf *into,
                                struct cws_error *err)
{
    ERR_clear_error();
    enum cws_status status = cws_tls_key_write(ca->key, into);
    if (status == CWS_OK)
        status = cws_tls_cert_write(ca->cert, into);
    return tell(status, "cannot write the authority's key", err);
}

/* An encrypted key is none: nobody is asked for a password. */
static int no_password(char *into, int size, int writes, void *ctx)
{
    (void)into, (void)size, (void)writes, (void)ctx;
    return -1;
}

enum cws_status cws_tls_ca_load(const char *pem, size_t len, struct cws_tls_ca **out_ca,
                                struct cws_error *err)
{
    struct cws_tls_ca *ca = cws_calloc(1, sizeof(*ca));
    BIO *bio = len <= INT32_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    if (ca && bio) {
        ca->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
        ca->cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    }
    BIO_free(bio);
    bool fits = ca && ca->key && ca->cert && X509_check_private_key(ca->cert, ca->key) == 1;
    bool valid = fits && X509_cmp_current_time(X509_get0_notAfter(ca->cert)) > 0;
    ERR_clear_error();
    if (valid) {
        *out_ca = ca;
        return CWS_OK;
    }
    if (!ca)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a certificate authority");
    cws_tls_ca_free(ca);
    return cws_error_set(err, CWS_INVALID, "%s",
                         fits ? "the certificate is no longer valid"
                              : "is not a private key with its certificate, as PEM");
}

/* ---- what it signs -------------------------------------------------------------------------- */

enum cws_status cws_tls_ca_issue_server(struct cws_tls_ca *ca, const char *host,
                                        struct cws_buf *cert_pem, struct cws_buf *key_pem,
                                        struct cws_error *err)
{
    char san[64];
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth"},
        {NID_subject_alt_name, san},
        {NID_authority_key_identifier, "keyid:always"},
    };
    ERR_clear_error();
    snprintf(san, sizeof(san), "IP:%s", host);
    EVP_PKEY *key = cws_tls_key_new();
    X509 *cert =
        key ? issue(ca, key, "cwsandboxd", &always, extensions, CWS_ARRAY_LEN(extensions)) : NULL;
    enum cws_status status = cert ? cws_tls_cert_write(cert, cert_pem) : CWS_TLS;
    if (status == CWS_OK)
        status = cws_tls_key_write(key, key_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return tell(status, "cannot make the server's certificate", err);
}

/* The key of a request that proves to have it; to be freed. NULL with *err. */
static EVP_PKEY *proven_key(const uint8_t *der, size_t len, struct cws_error *err)
{
    char group[32] = "";
    const unsigned char *at = der;
    if (len > CWS_TLS_REQUEST_MAX) {
        cws_error_set(err, CWS_INVALID, "has %zu bytes; at most %zu are allowed", len,
                      CWS_TLS_REQUEST_MAX);
        return NULL;
    }
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)len);
    EVP_PKEY *key = request && at == der + len ? X509_REQ_get_pubkey(request) : NULL;
    bool is_p256 = key && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
                   strcmp(group, "prime256v1") == 0;
    bool is_proven = is_p256 && X509_REQ_verify(request, key) == 1;
    if (!key)
        cws_error_set(err, CWS_INVALID, "is not one certificate request (PKCS#10) in DER");
    else if (!is_p256)
        cws_error_set(err, CWS_INVALID, "must be for a key on the curve P-256");
    else if (!is_proven)
        cws_error_set(err, CWS_INVALID, "is not signed with the key that it is for");
    ERR_clear_error();
    X509_REQ_free(request);
    if (is_proven)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

enum cws_status cws_tls_ca_sign_client(struct cws_tls_ca *ca, const uint8_t *csr_der, size_t len,
                                       const char *identity, int64_t expires_s,
                                       struct cws_buf *cert_pem, struct cws_error *err)
{
    char san[256];
    const struct validity validity = {.from_s = time(NULL) - LEEWAY_S, .until_s = expires_s};
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "clientAuth"},
        {NID_subject_alt_name, san}, /* critical, as there is no subject (RFC 5280, 4.2.1.6) */
        {NID_authority_key_identifier, "keyid:always"},
    };
    ERR_clear_error();
    snprintf(san, sizeof(san), "critical,URI:%s", identity);
    EVP_PKEY *key = proven_key(csr_der, len, err);
    if (!key)
        return CWS_INVALID;
    X509 *cert = issue(ca, key, NULL, &validity, extensions, CWS_ARRAY_LEN(extensions));
    enum cws_status status = cert ? cws_tls_cert_write(cert, cert_pem) : CWS_TLS;
    X509_free(cert);
    EVP_PKEY_free(key);
    return tell(status, "cannot make the client's certificate", err);
}
