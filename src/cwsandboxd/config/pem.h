/* Loads the daemon's own certificate from files. */
#pragma once

#include "io/tls.h"

/* A server's TLS settings from two PEM files. The caller gets one reference. CWS_SYSTEM: a file
 * cannot be read, or is larger than 1 MiB. CWS_TLS: the content cannot be used. CWS_NO_MEMORY. */
enum cws_status cwsd_pem_load_server(const char *cert_path, const char *key_path,
                                     struct cws_tls_config **out_config,
                                     struct cws_error *err) CWS_MUST_CHECK;
