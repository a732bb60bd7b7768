/*
 * The certificate authority of HTTPS endpoints, in files that outlive the daemon, so that clients
 * need to be told only once whom to trust.
 */
#pragma once

#include "io/tls_ca.h"

struct cwsd_authority {
    struct cws_tls_ca *ca;
    char cert_path[4096]; /* what clients are to trust, as PEM */
};

/* Loads it from the directory, or makes it there: "endpoints-ca.key" with mode 0600, and
 * "endpoints-ca.pem". Daemons that start at once get the same. CWS_INVALID names a file that cannot
 * be used; CWS_SYSTEM, CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cwsd_authority_open(const char *dir, struct cwsd_authority *out_authority,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* Harmless on an all-zero struct. */
void cwsd_authority_close(struct cwsd_authority *authority);
