/* Loads the daemon's own certificate from files. */
#pragma once

#include "io/tls.h"
#include "io/tls_ca.h"

/* A server's TLS settings from two PEM files. The caller gets one reference. CWS_SYSTEM: a file
 * cannot be read, or is larger than 1 MiB. CWS_TLS: the content cannot be used. CWS_NO_MEMORY. */
enum cws_status cwsd_pem_load_server(const char *cert_path, const char *key_path,
                                     struct cws_tls_config **out_config,
                                     struct cws_error *err) CWS_MUST_CHECK;

/* A server's TLS settings with a certificate that the authority issues for the IP literal `host`;
 * the other options are taken from `options`. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cwsd_pem_issue_server(struct cws_tls_ca *ca, const char *host,
                                      const struct cws_tls_options *options,
                                      struct cws_tls_config **out_config,
                                      struct cws_error *err) CWS_MUST_CHECK;
