/* Certificates for the tests, made on the spot: P-256 keys, one CA or none above. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
    char *pem;     /* the certificate */
    char *key_pem; /* its private key */
};

struct cert_wish {
    const char *name;          /* common name */
    const char *san;           /* "DNS:localhost,IP:127.0.0.1", or NULL */
    const struct cert *issuer; /* NULL: self-signed */
    bool ca;
    bool expired;
};

static inline char *pem_text(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = test_malloc((size_t)len + 1);
    memcpy(text, data, (size_t)len);
    text[len] = '\0';
    BIO_free(bio);
    return text;
}

static inline char *key_to_pem(EVP_PKEY *key, const char *password)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, password ? EVP_aes_128_cbc() : NULL,
                                                   password, password ? (int)strlen(password) : 0,
                                                   NULL, NULL),
                     1);
    return pem_text(bio);
}

static inline void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline void cert_make(struct cert *cert, const struct cert_wish *wish)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    assert_non_null(key);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x509), wish->expired ? -3600 : 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                               (const unsigned char *)wish->name, -1, -1, 0);
    X509 *issuer = wish->issuer ? wish->issuer->x509 : x509;
    X509_set_issuer_name(x509, X509_get_subject_name(issuer));
    X509_set_pubkey(x509, key);
    add_extension(x509, issuer, NID_basic_constraints, wish->ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(x509, issuer, NID_subject_key_identifier, "hash");
    if (wish->san)
        add_extension(x509, issuer, NID_subject_alt_name, wish->san);
    assert_true(X509_sign(x509, wish->issuer ? wish->issuer->key : key, EVP_sha256()) > 0);

    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
    *cert = (struct cert){x509, key, pem_text(bio), key_to_pem(key, NULL)};
}

static inline void cert_done(struct cert *cert)
{
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    test_free(cert->pem);
    test_free(cert->key_pem);
    *cert = (struct cert){0};
}
