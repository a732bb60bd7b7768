#include "io/tls_error.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

static enum cws_status set_code(struct cws_error *err, unsigned long code, const char *what)
{
    if (ERR_SYSTEM_ERROR(code))
        return cws_error_set_errno(err, CWS_TLS, ERR_GET_REASON(code), "%s", what);
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return cws_error_set(err, CWS_TLS, "%s: %s", what, reason ? reason : "unknown cause");
}

enum cws_status cws_tls_error_set(struct cws_error *err, const char *what)
{
    unsigned long code = ERR_peek_error(); /* the oldest: later ones only say who was calling */
    ERR_clear_error();
    return set_code(err, code, what);
}

static enum cws_status set_unverified(struct cws_error *err, long verdict, const char *host)
{
    const char *text = X509_verify_cert_error_string(verdict);
    if (host &&
        (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH))
        return cws_error_set(err, CWS_TLS,
                             "certificate verify failed: %s: it is not valid for '%s'", text, host);
    return cws_error_set(err, CWS_TLS, "certificate verify failed: %s", text);
}

enum cws_status cws_tls_error_set_ssl(struct cws_error *err, const struct ssl_st *ssl,
                                      const char *host)
{
    long verdict = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_error();
    ERR_clear_error();
    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
        switch (ERR_GET_REASON(code)) {
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return set_unverified(err, verdict, host);
        case SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL:
            return cws_error_set(err, CWS_TLS, "no ALPN h2: the peer does not speak HTTP/2");
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
            return cws_error_set(err, CWS_TLS, "the peer does not speak TLS: %s",
                                 ERR_reason_error_string(code));
        default:
            break;
        }
    }
    return set_code(err, code, "TLS failed");
}
