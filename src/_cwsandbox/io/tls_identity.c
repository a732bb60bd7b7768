#include "io/tls_identity.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

static bool read_expiry(const X509 *cert, int64_t *out_s)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
        return false;
    *out_s = timegm(&tm);
    return true;
}

static void copy_uri(const ASN1_IA5STRING *text, char out[CWS_IDENTITY_SIZE])
{
    size_t len = (size_t)ASN1_STRING_length(text);
    const char *bytes = (const char *)ASN1_STRING_get0_data(text);
    if (len >= CWS_IDENTITY_SIZE || memchr(bytes, '\0', len))
        return;
    memcpy(out, bytes, len);
    out[len] = '\0';
}

bool cws_tls_identity_read(const X509 *cert, struct cws_identity *out_identity)
{
    int critical = -1;
    memset(out_identity, 0, sizeof(*out_identity));
    if (!read_expiry(cert, &out_identity->expires_s))
        return false;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    if (!names) {
        ERR_clear_error();
        return critical == -1; /* there is no such extension */
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        copy_uri(name->d.uniformResourceIdentifier, out_identity->uri);
        break;
    }
    GENERAL_NAMES_free(names);
    return true;
}
