/* The daemon's own certificate, from files. */
#pragma once

#include "io/tls.h"

/* A server's TLS settings from two PEM files. CWS_SYSTEM: a file cannot be read, or has more
 * than 1 MiB; CWS_TLS: what is in them cannot be used; CWS_NO_MEMORY. */
enum cws_status cwsd_pem_load_server(const char *cert_path, const char *key_path,
                                     struct cws_tls_config **out_config,
                                     struct cws_error *err) CWS_MUST_CHECK;
