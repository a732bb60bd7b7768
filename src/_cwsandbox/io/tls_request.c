#include "io/tls_request.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "io/tls.h"
#include "io/tls_error.h"
#include "io/tls_key.h"

static X509_REQ *sign_request(EVP_PKEY *key)
{
    X509_REQ *request = X509_REQ_new();
    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0)
        return request;
    X509_REQ_free(request);
    return NULL;
}

static enum cws_status write_der(X509_REQ *request, struct cws_buf *into)
{
    unsigned char *der = NULL;
    int len = i2d_X509_REQ(request, &der);
    if (len <= 0)
        return CWS_TLS;
    enum cws_status status = cws_buf_append(into, der, (size_t)len);
    OPENSSL_free(der);
    return status;
}

enum cws_status cws_tls_request_make(struct cws_tls_request *out_request, struct cws_error *err)
{
    ERR_clear_error();
    cws_buf_init(&out_request->key_pem, CWS_TLS_PEM_MAX);
    cws_buf_init(&out_request->csr_der, CWS_TLS_PEM_MAX);
    enum cws_status status = CWS_TLS;
    EVP_PKEY *key = cws_tls_key_new();
    X509_REQ *request = key ? sign_request(key) : NULL;
    if (request)
        status = write_der(request, &out_request->csr_der);
    if (status == CWS_OK)
        status = cws_tls_key_write(key, &out_request->key_pem);
    if (status == CWS_NO_MEMORY)
        cws_error_set(err, status, "out of memory for a certificate request");
    else if (status != CWS_OK)
        status = cws_tls_error_set(err, "cannot make a certificate request");
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    if (status != CWS_OK)
        cws_tls_request_done(out_request);
    return status;
}

void cws_tls_request_done(struct cws_tls_request *request)
{
    if (request->key_pem.data)
        explicit_bzero(request->key_pem.data, request->key_pem.cap);
    cws_buf_done(&request->key_pem);
    cws_buf_done(&request->csr_der);
}
