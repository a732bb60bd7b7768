/* An accepting socket, for the daemon and the C tests. Loop thread. */
#pragma once

#include "io/tls.h"

struct cws_listener;
typedef void (*cws_accept_fn)(void *ctx, struct cws_transport *transport);

struct cws_listen_options {
    const char
        *unix_path;   /* a Unix socket, created with mode 0600; a stale socket file is replaced */
    const char *host; /* otherwise: an IP literal */
    uint16_t port;    /* 0: any free one (cws_listener_port) */
    struct cws_tls_config *tls; /* server config, or NULL; counted */
    uint64_t handshake_ns;      /* how long a TLS handshake may take; 0: 30 s */
};

/* At most this many TLS handshakes are in progress; one more drops the oldest. */
#define CWS_LISTEN_MAX_HANDSHAKES 64

/* `accept` is called with each connection once its TLS handshake is finished, and owns it; never
 * from inside this function. A handshake that takes too long is dropped. CWS_INVALID: `host` is not
 * an IP literal, or `unix_path` is empty or too long. CWS_IO: the address cannot be bound; a Unix
 * socket with a live server is refused, a stale one is replaced. CWS_NO_MEMORY. */
enum cws_status cws_listener_new(struct cws_loop *loop, const struct cws_listen_options *options,
                                 cws_accept_fn accept, void *ctx,
                                 struct cws_listener **out_listener,
                                 struct cws_error *err) CWS_MUST_CHECK;
uint16_t cws_listener_port(const struct cws_listener *listener);

/* Stops accepting, drops unfinished handshakes, unlinks the Unix socket if it is still this
 * listener's, and frees the listener. Allowed inside `accept`. NULL is allowed. */
void cws_listener_free(struct cws_listener *listener);
