#include "io/tls_config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "io/tls_bio.h"
#include "io/tls_error.h"

static const unsigned char alpn_h2[] = {2, 'h', '2'};
static const unsigned char alpn_http1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* What RFC 9113 (9.2.2) leaves of TLS 1.2: forward secrecy and an AEAD. TLS 1.3 has nothing
 * else. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* --- PEM texts --- */

struct pem {
    const char *name; /* of the option, for errors */
    const char *text;
    size_t len;
};

static BIO *pem_open(const struct pem *pem, struct cws_error *err)
{
    BIO *bio = pem->len <= INT_MAX ? BIO_new_mem_buf(pem->text, (int)pem->len) : NULL;
    if (!bio)
        cws_error_set(err, CWS_TLS, "cannot use %s: %s", pem->name,
                      pem->len > INT_MAX ? "too large" : "out of memory");
    return bio;
}

static enum cws_status pem_unusable(const struct pem *pem, const char *what, struct cws_error *err)
{
    char context[80];
    snprintf(context, sizeof(context), "cannot use %s: %s", pem->name, what);
    return cws_tls_error_set(err, context);
}

static bool is_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* Calls `take` for each certificate in `pem`; `take` says whether it could be used. */
static enum cws_status each_certificate(const struct pem *pem, SSL_CTX *ctx,
                                        bool (*take)(SSL_CTX *ctx, X509 *cert, size_t index),
                                        struct cws_error *err)
{
    BIO *bio = pem_open(pem, err);
    if (!bio)
        return CWS_TLS;
    enum cws_status status = CWS_OK;
    size_t count = 0;
    char what[48];
    for (X509 *cert;
         status == CWS_OK && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
        ERR_clear_error();
        if (!take(ctx, cert, count++)) {
            snprintf(what, sizeof(what), "certificate %zu", count);
            status = pem_unusable(pem, what, err);
        }
        X509_free(cert);
    }
    if (status == CWS_OK && !is_end_of_pem()) {
        snprintf(what, sizeof(what), "certificate %zu", count + 1);
        status = pem_unusable(pem, what, err);
    } else if (status == CWS_OK && count == 0) {
        status = cws_error_set(err, CWS_TLS, "cannot use %s: no certificate in it", pem->name);
    }
    ERR_clear_error();
    BIO_free(bio);
    return status;
}

/* --- our own certificate --- */

static bool take_chain(SSL_CTX *ctx, X509 *cert, size_t index)
{
    return index == 0 ? SSL_CTX_use_certificate(ctx, cert) == 1
                      : SSL_CTX_add1_chain_cert(ctx, cert) == 1;
}

/* OpenSSL's own way of asking for a password is to prompt on the terminal. */
static int refuse_password(char *out, int size, int for_writing, void *encrypted)
{
    (void)out;
    (void)size;
    (void)for_writing;
    *(bool *)encrypted = true;
    return -1;
}

static enum cws_status use_key(SSL_CTX *ctx, const struct pem *pem, struct cws_error *err)
{
    BIO *bio = pem_open(pem, err);
    if (!bio)
        return CWS_TLS;
    bool encrypted = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_password, &encrypted);
    enum cws_status status = CWS_OK;
    if (!key) /* OpenSSL's own reason is "unsupported" whatever it is */
        status = cws_error_set(err, CWS_TLS, "cannot use %s: %s", pem->name,
                               encrypted ? "the private key is encrypted" : "no private key in it");
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        status = pem_unusable(pem, "private key", err);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}

static enum cws_status use_own(SSL_CTX *ctx, const struct cws_tls_options *options,
                               struct cws_error *err)
{
    if (!options->cert_pem && !options->key_pem && !options->server)
        return CWS_OK;
    if (!options->cert_pem || !options->key_pem)
        return cws_error_set(err, CWS_TLS, "%s is missing: %s",
                             options->cert_pem ? "key_pem" : "cert_pem",
                             options->server ? "a server needs cert_pem and key_pem"
                                             : "cert_pem and key_pem go together");
    const struct pem cert = {"cert_pem", options->cert_pem, options->cert_len};
    const struct pem key = {"key_pem", options->key_pem, options->key_len};
    enum cws_status status = each_certificate(&cert, ctx, take_chain, err);
    return status == CWS_OK ? use_key(ctx, &key, err) : status;
}

/* --- whom to trust --- */

static bool take_root(SSL_CTX *ctx, X509 *cert, size_t index)
{
    (void)index;
    return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
}

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static enum cws_status use_env_file(SSL_CTX *ctx, const char *name, const char *path,
                                    struct cws_error *err)
{
    char what[160];
    if (access(path, R_OK) != 0)
        return cws_error_set_errno(err, CWS_TLS, errno, "cannot use %s=%s", name, path);
    if (SSL_CTX_load_verify_file(ctx, path) == 1)
        return CWS_OK;
    snprintf(what, sizeof(what), "cannot use %s=%s", name, path);
    return cws_tls_error_set(err, what);
}

/* `list` has one or more directories, with a colon between them; OpenSSL looks into them at each
 * handshake. */
static enum cws_status use_env_dirs(SSL_CTX *ctx, const char *name, const char *list,
                                    struct cws_error *err)
{
    bool found = false;
    for (const char *at = list; !found; at++) {
        char dir[PATH_MAX];
        size_t len = strcspn(at, ":");
        struct stat st;
        snprintf(dir, sizeof(dir), "%.*s", (int)(len < PATH_MAX ? len : PATH_MAX), at);
        found = stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
        at += len;
        if (!*at)
            break;
    }
    if (!found)
        return cws_error_set(err, CWS_TLS, "cannot use %s=%s: no such directory", name, list);
    if (SSL_CTX_load_verify_dir(ctx, list) == 1)
        return CWS_OK;
    return cws_tls_error_set(err, "cannot use SSL_CERT_DIR");
}

static const char *const system_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Alpine */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* RHEL, older */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine, the BSDs */
};

static enum cws_status use_system_roots(SSL_CTX *ctx, struct cws_error *err)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(system_files); i++)
        if (access(system_files[i], R_OK) == 0 &&
            SSL_CTX_load_verify_file(ctx, system_files[i]) == 1)
            return CWS_OK;
    ERR_clear_error();
    const char *openssl_file =
        X509_get_default_cert_file(); /* where this OpenSSL was built to look */
    if (access(openssl_file, R_OK) == 0 && SSL_CTX_load_verify_file(ctx, openssl_file) == 1)
        return CWS_OK;
    ERR_clear_error();
    return cws_error_set(
        err, CWS_TLS,
        "no trusted roots on this system (looked for %s and the other usual files): "
        "install ca-certificates, or set SSL_CERT_FILE",
        system_files[0]);
}

static enum cws_status use_default_roots(SSL_CTX *ctx, struct cws_error *err)
{
    const char *grpc_file = env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH");
    if (grpc_file)
        return use_env_file(ctx, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", grpc_file, err);
    const char *file = env("SSL_CERT_FILE");
    const char *dirs = env("SSL_CERT_DIR");
    if (!file && !dirs)
        return use_system_roots(ctx, err);
    enum cws_status status = file ? use_env_file(ctx, "SSL_CERT_FILE", file, err) : CWS_OK;
    if (status == CWS_OK && dirs)
        status = use_env_dirs(ctx, "SSL_CERT_DIR", dirs, err);
    return status;
}

static enum cws_status use_roots(SSL_CTX *ctx, const struct cws_tls_options *options,
                                 struct cws_error *err)
{
    const struct pem roots = {"roots_pem", options->roots_pem, options->roots_len};
    if (options->server && !options->roots_pem)
        return CWS_OK; /* clients need no certificate */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (options->roots_pem)
        return each_certificate(&roots, ctx, take_root, err);
    return use_default_roots(ctx, err);
}

/* --- the rest of the set-up --- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct cws_tls_config *config = arg;
    const unsigned char *ours = config->http1 ? alpn_http1 : alpn_h2;
    unsigned len = config->http1 ? sizeof(alpn_http1) : sizeof(alpn_h2);
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, ours, len, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *ctx_new(bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) == 1 &&
        SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof(alpn_h2)) == 0)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

enum cws_status cws_tls_config_new(const struct cws_tls_options *options,
                                   struct cws_tls_config **out_config, struct cws_error *err)
{
    ERR_clear_error();
    struct cws_tls_config *config = cws_calloc(1, sizeof(*config));
    if (!config)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for TLS");
    cws_ref_init(&config->ref);
    config->server = options->server;
    config->http1 = options->http1;
    config->ctx = ctx_new(options->server);
    config->bio_method = cws_tls_bio_method_new();

    enum cws_status status = CWS_OK;
    if (config->ctx)
        SSL_CTX_set_alpn_select_cb(config->ctx, on_alpn, config); /* a client never calls it */
    if (!config->ctx || !config->bio_method)
        status = cws_tls_error_set(err, "cannot set up TLS");
    if (status == CWS_OK)
        status = use_own(config->ctx, options, err);
    if (status == CWS_OK)
        status = use_roots(config->ctx, options, err);
    if (status != CWS_OK) {
        cws_tls_config_unref(config);
        return status;
    }
    *out_config = config;
    return CWS_OK;
}

void cws_tls_config_ref(struct cws_tls_config *config)
{
    cws_ref_get(&config->ref);
}

void cws_tls_config_unref(struct cws_tls_config *config)
{
    if (!config || !cws_ref_put(&config->ref))
        return;
    SSL_CTX_free(config->ctx);
    BIO_meth_free(config->bio_method);
    cws_free(config);
}
