/* Which HTTP CONNECT proxy the environment asks for. Any thread (reads the environment). */
#pragma once

#include "base/status.h"

struct cws_proxy {
    char *address; /* "host:port", NULL: connect directly */
    char *auth;    /* "user:password", percent-decoded, or NULL */
};

/* First of grpc_proxy, https_proxy, http_proxy that is set and not empty, unless no_grpc_proxy / no_proxy
 * (comma-separated suffixes, "*", CIDR blocks) covers `host`. CWS_INVALID names the variable and value that
 * cannot be used (only http:// proxies are spoken to). cws_proxy_done frees. */
enum cws_status cws_proxy_for(const char *host, struct cws_proxy *out_proxy,
                              struct cws_error *err) CWS_MUST_CHECK;
void cws_proxy_done(struct cws_proxy *proxy);
