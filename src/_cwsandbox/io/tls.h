/*
 * TLS 1.2 or newer over another transport, by OpenSSL: steps prepare, handshake, verify; ALPN "h2";
 * both roles.
 */
#pragma once

#include "base/status.h"
#include "io/loop.h"
#include "io/transport.h"

struct cws_tls_config;

/* PEM texts, NULL = not given. Lengths without a terminator. */
struct cws_tls_options {
    /* Client: trust these alone; not given: see below.
     * Server: demand a client certificate signed by one of these; not given: demand none. */
    const char *roots_pem;
    size_t roots_len;
    const char *cert_pem; /* own chain, leaf first (client optional, server required) */
    size_t cert_len;
    const char *key_pem; /* private key of cert_pem, unencrypted */
    size_t key_len;
    bool server;
};

/*
 * Any thread. Client without roots_pem: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH if set, else
 * SSL_CERT_FILE / SSL_CERT_DIR if set, else the system's trust store (Debian's and the other usual
 * places). CWS_TLS with *err naming what could not be used (which PEM, which file); CWS_NO_MEMORY.
 * Counted.
 */
enum cws_status cws_tls_config_new(const struct cws_tls_options *options,
                                   struct cws_tls_config **out_config,
                                   struct cws_error *err) CWS_MUST_CHECK;
void cws_tls_config_ref(struct cws_tls_config *config);
void cws_tls_config_unref(struct cws_tls_config *config); /* NULL is allowed */

/*
 * Loop thread. Begins the handshake over `below`, which is taken over in every case (closed on
 * failure). `done` is called once, never from inside cws_tls_start: with the TLS transport,
 * handshake finished, peer verified against `host` (name or IP literal without brackets; SNI is
 * sent for names; NULL in the server role), ALPN "h2" agreed; or with NULL and *err. Returns a
 * handle for cws_tls_cancel, valid until `done`; NULL when out of memory (then `done` is not
 * called).
 *
 * Of the transport's end: on_closed with CWS_OK only after the peer's close_notify; CWS_IO when
 * the connection ended without; CWS_TLS for an alert (a server may refuse the client certificate
 * this late).
 */
struct cws_tls_start;
typedef void (*cws_tls_done_fn)(void *ctx, struct cws_transport *transport,
                                const struct cws_error *err);
struct cws_tls_start *cws_tls_start(struct cws_loop *loop, struct cws_tls_config *config,
                                    struct cws_transport *below, const char *host,
                                    cws_tls_done_fn done, void *ctx);
void cws_tls_cancel(struct cws_tls_start *start); /* `done` will not be called */
