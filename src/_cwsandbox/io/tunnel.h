/* A tunnel through an HTTP proxy: CONNECT over a connected sock. Loop thread. */
#pragma once

#include "io/sock.h"

struct cws_tunnel;
typedef void (*cws_tunnel_done_fn)(void *ctx, struct cws_transport *transport,
                                   const struct cws_error *err);

/* Asks the proxy at the other end of `sock` for a connection to host:port (a name or an IP
 * literal without brackets), with Basic authentication when `auth` ("user:password") is not
 * NULL. `sock` is taken over in every case (closed on failure). `done` is called once, never
 * from inside this call: with the transport, idle, whose first bytes are those after the proxy's
 * reply header; or with NULL and *err (CWS_PROXY, CWS_IO, CWS_NO_MEMORY). Returns a handle for
 * cws_tunnel_cancel, valid until `done`; NULL when out of memory (then `done` is not called). */
struct cws_tunnel *cws_tunnel_start(struct cws_sock *sock, const char *host, uint16_t port,
                                    const char *auth, cws_tunnel_done_fn done, void *ctx);
void cws_tunnel_cancel(struct cws_tunnel *tunnel); /* `done` will not be called */
