/* OpenSSL's errors as text. io/tls*.c only; on the thread of the failed call. */
#pragma once

#include "base/status.h"

struct ssl_st;

/* Fills *err with "<what>: <the oldest error in OpenSSL's queue>" and empties the queue. Returns
 * CWS_TLS. */
enum cws_status cws_tls_error_set(struct cws_error *err, const char *what);

/* The same for a connection whose last call failed for good. Says what is wrong with the
 * certificate, if that is the cause. `host` (may be NULL) is the name that the certificate should
 * have had. */
enum cws_status cws_tls_error_set_ssl(struct cws_error *err, const struct ssl_st *ssl,
                                      const char *host);
