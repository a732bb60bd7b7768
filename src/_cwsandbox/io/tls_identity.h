/* What a certificate says of its owner. io/tls*.c only; any thread. */
#pragma once

#include "io/transport.h"

struct x509_st;

/* False if it is out of memory, or if a part of the certificate cannot be read. A URI that is too
 * long, or has a NUL in it, is none. */
bool cws_tls_identity_read(const struct x509_st *cert,
                           struct cws_identity *out_identity) CWS_MUST_CHECK;
