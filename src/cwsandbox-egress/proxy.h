/*
 * Takes the sandbox's connections to port 443. It reads the name in the first message of TLS, and
 * if that was granted connects to where the name leads, and passes the bytes on. Where the sandbox
 * wanted to connect to does not matter: who lies about the name gets to the host of that name. All
 * else is refused.
 */
#pragma once

#include <uv.h>

#include "names.h"

/* One more is reset. */
#define CWSE_MAX_CONNECTIONS 256

struct cwse_proxy {
    uv_tcp_t listener;
    const struct cwse_grants *grants;
    size_t connections;
};

/* Serves the bound socket from now on. A libuv error. */
int cwse_proxy_start(struct cwse_proxy *proxy, uv_loop_t *loop, int fd,
                     const struct cwse_grants *grants) CWS_MUST_CHECK;
