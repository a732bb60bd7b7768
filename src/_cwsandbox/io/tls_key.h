/* Private keys and certificates as OpenSSL has them, made and written as PEM. io/tls*.c only; any
 * thread. */
#pragma once

#include "base/buf.h"

struct evp_pkey_st;
struct x509_st;

/* A new P-256 key. NULL with OpenSSL's errors queued. */
struct evp_pkey_st *cws_tls_key_new(void);

/* Appends the key as unencrypted PKCS#8, or the certificate. CWS_TLS with OpenSSL's errors queued;
 * CWS_NO_MEMORY. */
enum cws_status cws_tls_key_write(struct evp_pkey_st *key, struct cws_buf *into) CWS_MUST_CHECK;
enum cws_status cws_tls_cert_write(struct x509_st *cert, struct cws_buf *into) CWS_MUST_CHECK;
