/*
 * Turns a host name and port into a connected transport. The name is looked up off the loop thread
 * and its addresses are tried in turn; an HTTP CONNECT proxy and TLS are used if the options ask
 * for them. Loop thread.
 */
#pragma once

#include "io/tls.h"

struct cws_dial_options {
    const char *unix_path; /* connect to this Unix socket; port and proxies are not used */
    const char *host;      /* name or IP literal without brackets; also the TLS name */
    uint16_t port;
    struct cws_tls_config *tls; /* NULL: plaintext */
    const char *proxy;          /* "host:port" of an HTTP CONNECT proxy (cws_proxy_for), or NULL */
    const char *proxy_auth;     /* "user:password", percent-decoded, or NULL */
    uint64_t deadline_ns;       /* of cws_clock_now_ns; CWS_NO_DEADLINE: none */
};

struct cws_dial;
typedef void (*cws_dial_done_fn)(void *ctx, struct cws_transport *transport,
                                 const struct cws_error *err);

/* Copies the options. `done` is called once, never from inside this call: with a transport, which
 * the receiver then owns, or with NULL and *err (CWS_INVALID, CWS_RESOLVE, CWS_CONNECT, CWS_PROXY,
 * CWS_TLS, CWS_TIMED_OUT or CWS_NO_MEMORY; the text names host and port, or the path). A name's
 * addresses are tried in the resolver's order. The next attempt starts when one fails, or after 250
 * ms without an answer; the first to connect wins. Returns NULL when out of memory; `done` is not
 * called then. */
struct cws_dial *cws_dial_start(struct cws_loop *loop, const struct cws_dial_options *options,
                                cws_dial_done_fn done, void *ctx);

/* Only before `done` has been called, and prevents that call. */
void cws_dial_cancel(struct cws_dial *dial);
