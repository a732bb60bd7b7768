/* Which HTTP CONNECT proxy the environment asks for. Any thread (reads the environment). */
#pragma once

#include "base/status.h"

struct cws_proxy {
    char *address; /* "host:port", an IPv6 host in brackets; NULL: connect directly */
    char *auth;    /* "user:password", percent-decoded, or NULL */
};

/* The proxy in the first of grpc_proxy, https_proxy and http_proxy that is set and not empty. None
 * if `host` (a name or an IP literal without brackets) is covered by no_grpc_proxy or, where that
 * is not set, by no_proxy. The entries of those are separated by commas. Each is "*", an address, a
 * CIDR block, or a domain, which covers itself and its subdomains, with or without a leading dot.
 * CWS_INVALID names the variable and the value that cannot be used, without user and password; only
 * http:// proxies are supported. CWS_NO_MEMORY. cws_proxy_done frees the result. */
enum cws_status cws_proxy_for(const char *host, struct cws_proxy *out_proxy,
                              struct cws_error *err) CWS_MUST_CHECK;
void cws_proxy_done(struct cws_proxy *proxy);
