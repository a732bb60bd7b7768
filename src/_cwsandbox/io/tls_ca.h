/*
 * A certificate authority of this process's own. If its key is never written anywhere, nobody can
 * be given a certificate after the process has ended. For one thread.
 */
#pragma once

#include "base/buf.h"

struct cws_tls_ca;

/* The largest certificate request that is looked at. One that says no more than it must has 200
 * bytes. */
#define CWS_TLS_REQUEST_MAX ((size_t)16 * 1024)

/* CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cws_tls_ca_new(const char *name, struct cws_tls_ca **out_ca,
                               struct cws_error *err) CWS_MUST_CHECK;
void cws_tls_ca_free(struct cws_tls_ca *ca); /* NULL is allowed */

/* The authority whose key and certificate are in a PEM text of cws_tls_ca_save. CWS_INVALID: they
 * are not there, not of one another, or no longer valid. CWS_NO_MEMORY. */
enum cws_status cws_tls_ca_load(const char *pem, size_t len, struct cws_tls_ca **out_ca,
                                struct cws_error *err) CWS_MUST_CHECK;
/* Appends both. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cws_tls_ca_save(const struct cws_tls_ca *ca, struct cws_buf *into,
                                struct cws_error *err) CWS_MUST_CHECK;

/* Appends the authority's own certificate as PEM. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cws_tls_ca_write(const struct cws_tls_ca *ca, struct cws_buf *into,
                                 struct cws_error *err) CWS_MUST_CHECK;

/* Appends the PEM of a certificate for a server at the IP literal `host` (without brackets), and of
 * its new key. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cws_tls_ca_issue_server(struct cws_tls_ca *ca, const char *host,
                                        struct cws_buf *cert_pem, struct cws_buf *key_pem,
                                        struct cws_error *err) CWS_MUST_CHECK;

/*
 * Appends the PEM of a client's certificate for the key in a request (PKCS#10, DER). All else that
 * the request says is ignored. The certificate says `identity`, a URI without a comma, and is valid
 * until `expires_s` (seconds since 1970).
 * CWS_INVALID: it is too large or not a request, its key is not of P-256, or it is not signed with
 * that key; the text says which. CWS_TLS, CWS_NO_MEMORY.
 */
enum cws_status cws_tls_ca_sign_client(struct cws_tls_ca *ca, const uint8_t *csr_der, size_t len,
                                       const char *identity, int64_t expires_s,
                                       struct cws_buf *cert_pem,
                                       struct cws_error *err) CWS_MUST_CHECK;
