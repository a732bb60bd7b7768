/*
 * TLS 1.2 or newer over another transport, by OpenSSL. ALPN "h2"; client and server. A server may
 * speak HTTP/1.1 instead.
 */
#pragma once

#include "base/status.h"
#include "io/loop.h"
#include "io/transport.h"

/* More than any PEM text that io/tls*.c make; the ceiling of a buffer for one. */
#define CWS_TLS_PEM_MAX ((size_t)64 * 1024)

struct cws_tls_config;

/* PEM texts; NULL: not given. Lengths do not count a terminator. */
struct cws_tls_options {
    /* Client: trusts only these; if not given, see below. Server: demands a client certificate
     * signed by one of these; if not given, demands none. */
    const char *roots_pem;
    size_t roots_len;
    const char *cert_pem; /* own chain, leaf first (client optional, server required) */
    size_t cert_len;
    const char *key_pem; /* private key of cert_pem, unencrypted */
    size_t key_len;
    bool server;
    bool http1; /* Server: for HTTP/1.1 instead of HTTP/2. Clients need not name a protocol */
};

/*
 * Any thread. A client without roots_pem trusts the first of these that is set:
 * GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, SSL_CERT_FILE or SSL_CERT_DIR, the system's trust store (in
 * Debian's or another usual place). CWS_TLS: *err names the PEM or file that could not be used.
 * CWS_NO_MEMORY. Reference-counted; the caller gets one reference.
 */
enum cws_status cws_tls_config_new(const struct cws_tls_options *options,
                                   struct cws_tls_config **out_config,
                                   struct cws_error *err) CWS_MUST_CHECK;
void cws_tls_config_ref(struct cws_tls_config *config);
void cws_tls_config_unref(struct cws_tls_config *config); /* NULL is allowed */

/*
 * Loop thread. Begins the handshake over `below`, which is taken over in every case (closed on
 * failure). `done` is called once, never from inside cws_tls_start. On success it gets the TLS
 * transport: the handshake is finished, the peer is verified against `host`, and ALPN has agreed on
 * "h2". On failure it gets NULL and *err. `host` is a name, which is also sent as SNI, or an IP
 * literal without brackets; NULL in the server role. Returns a handle for cws_tls_cancel, valid
 * until `done`; NULL when out of memory (`done` is not called then).
 *
 * How the transport reports its end: on_closed gets CWS_OK only after the peer's close_notify,
 * CWS_IO if the connection ended without one, and CWS_TLS for an alert (a server may refuse the
 * client certificate this late).
 */
struct cws_tls_start;
typedef void (*cws_tls_done_fn)(void *ctx, struct cws_transport *transport,
                                const struct cws_error *err);
struct cws_tls_start *cws_tls_start(struct cws_loop *loop, struct cws_tls_config *config,
                                    struct cws_transport *below, const char *host,
                                    cws_tls_done_fn done, void *ctx);
void cws_tls_cancel(struct cws_tls_start *start); /* `done` will not be called */
