/*
 * A new private key and the request (PKCS#10) to certify it. The request names nobody: who signs it
 * decides whom the certificate is for. The key is never anywhere but in memory. Any thread.
 */
#pragma once

#include "base/buf.h"

struct cws_tls_request {
    struct cws_buf key_pem; /* PKCS#8, unencrypted */
    struct cws_buf csr_der; /* P-256, signed with SHA-256; no subject, no extensions */
};

/* On success the caller calls cws_tls_request_done. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cws_tls_request_make(struct cws_tls_request *out_request,
                                     struct cws_error *err) CWS_MUST_CHECK;
/* Wipes the key and frees the memory. */
void cws_tls_request_done(struct cws_tls_request *request);
