/* A base URL taken apart. Any thread. */
#pragma once

#include "base/status.h"

struct cws_target {
    bool tls;
    char *unix_path; /* unix:///path, else NULL */
    char *host;      /* without brackets; "localhost" for Unix sockets */
    uint16_t port;   /* the scheme's default when none or 0 was given */
    char *authority; /* host:port, IPv6 literals in brackets */
};

/* CWS_INVALID with the rule: scheme http, https or unix; a host; no path but "/" (a path for unix);
 * port 0..65535. */
enum cws_status cws_target_parse(const char *url, struct cws_target *out_target,
                                 struct cws_error *err) CWS_MUST_CHECK;
void cws_target_done(struct cws_target *target);
