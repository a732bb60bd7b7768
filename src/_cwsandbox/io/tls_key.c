#include "io/tls_key.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

EVP_PKEY *cws_tls_key_new(void)
{
    return EVP_EC_gen("P-256");
}

/* Takes the BIO over. */
static enum cws_status take_text(BIO *bio, bool written, struct cws_buf *into)
{
    char *text = NULL;
    long len = written ? BIO_get_mem_data(bio, &text) : 0;
    enum cws_status status = len > 0 ? cws_buf_append(into, text, (size_t)len) : CWS_TLS;
    BIO_free(bio);
    return status;
}

enum cws_status cws_tls_key_write(EVP_PKEY *key, struct cws_buf *into)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    bool written = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    return take_text(bio, written, into);
}

enum cws_status cws_tls_cert_write(X509 *cert, struct cws_buf *into)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool written = bio && PEM_write_bio_X509(bio, cert) == 1;
    return take_text(bio, written, into);
}
