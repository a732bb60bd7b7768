/* A base URL, parsed. Any thread. */
#pragma once

#include "base/status.h"

struct cws_target {
    bool tls;
    char *unix_path; /* unix:///path, else NULL */
    char *host;      /* without brackets; "localhost" for Unix sockets */
    uint16_t port;   /* the scheme's default if none, or 0, was given */
    char *authority; /* host:port, IPv6 literals in brackets */
};

/* CWS_INVALID names the rule that is broken: the scheme is http, https or unix; there is a host,
 * and no path but "/" (for unix: a path); the port is 0..65535. CWS_NO_MEMORY. Free the result with
 * cws_target_done. */
enum cws_status cws_target_parse(const char *url, struct cws_target *out_target,
                                 struct cws_error *err) CWS_MUST_CHECK;
void cws_target_done(struct cws_target *target);
