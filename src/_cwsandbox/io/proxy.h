/* Which HTTP CONNECT proxy the environment asks for. Any thread (reads the environment). */
#pragma once

#include "base/status.h"

struct cws_proxy {
    char *address; /* "host:port", an IPv6 host in brackets; NULL: connect directly */
    char *auth;    /* "user:password", percent-decoded, or NULL */
};

/* First of grpc_proxy, https_proxy, http_proxy that is set and not empty, unless no_grpc_proxy, or
 * no_proxy when that is not set, covers `host` (name or IP literal without brackets). Their entries
 * are separated by commas: "*", an address, a CIDR block, or a domain, which covers itself and what
 * is below it, with or without a dot in front.
 *
 * CWS_INVALID names the variable and value that cannot be used (only http:// proxies are spoken to;
 * the value is shown without user and password); CWS_NO_MEMORY. cws_proxy_done frees. */
enum cws_status cws_proxy_for(const char *host, struct cws_proxy *out_proxy,
                              struct cws_error *err) CWS_MUST_CHECK;
void cws_proxy_done(struct cws_proxy *proxy);
