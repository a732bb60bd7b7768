/* What OpenSSL says, in words. io/tls*.c only; loop thread or the thread of the failed call. */
#pragma once

#include "base/status.h"

struct ssl_st;

/* Fills *err with "<what>: <the oldest error OpenSSL has queued>", empties the queue, returns
 * CWS_TLS. */
enum cws_status cws_tls_error_set(struct cws_error *err, const char *what);

/* The same for a connection whose last call failed for good, naming the certificate's fault if
 * there is one. `host` (may be NULL) is whom the certificate should have been for. */
enum cws_status cws_tls_error_set_ssl(struct cws_error *err, const struct ssl_st *ssl,
                                      const char *host);
