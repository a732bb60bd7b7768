/* An accepting socket, for the daemon and the C tests. Loop thread. */
#pragma once

#include "io/tls.h"

struct cws_listener;
typedef void (*cws_accept_fn)(void *ctx, struct cws_transport *transport);

struct cws_listen_options {
    const char *unix_path; /* a Unix socket, 0600 from birth; a stale socket file is replaced */
    const char *host;      /* else an IP literal */
    uint16_t port;         /* 0: any free one (cws_listener_port) */
    struct cws_tls_config *tls; /* server config, or NULL; counted */
    uint64_t handshake_ns;      /* how long a TLS handshake may take; 0: 30 s */
};

/* So many TLS handshakes may be under way; one more ends the oldest. */
#define CWS_LISTEN_MAX_HANDSHAKES 64

/* `accept` gets each connection, with its TLS handshake finished (one that takes
 * too long is dropped), and owns it; never from inside this call. CWS_INVALID: host is no IP
 * literal, unix_path is empty or too long; CWS_IO: the address cannot be bound ("in use by a live
 * server" is told apart from stale); CWS_NO_MEMORY. */
enum cws_status cws_listener_new(struct cws_loop *loop, const struct cws_listen_options *options,
                                 cws_accept_fn accept, void *ctx,
                                 struct cws_listener **out_listener,
                                 struct cws_error *err) CWS_MUST_CHECK;
uint16_t cws_listener_port(const struct cws_listener *listener);

/* Stops accepting, drops handshakes under way, unlinks the Unix socket if it still is this
 * listener's, frees. Allowed inside `accept`. NULL is allowed. */
void cws_listener_free(struct cws_listener *listener);
