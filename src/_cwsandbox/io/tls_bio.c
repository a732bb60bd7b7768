#include "io/tls_bio.h"

#include <string.h>

#include <openssl/bio.h>

#include "io/scratch.h"

enum cws_status cws_tls_bio_flush(struct cws_tls_bio *bio)
{
    size_t len = bio->out_len;
    if (len == 0)
        return bio->out_status;
    bio->out_len = 0;
    const uint8_t *scratch = cws_loop_scratch(bio->loop, CWS_SCRATCH_CIPHER);
    if (bio->out_status == CWS_OK)
        bio->out_status = cws_transport_write(bio->below, scratch, len);
    return bio->out_status;
}

static int on_bio_write(BIO *b, const char *data, int len)
{
    struct cws_tls_bio *bio = BIO_get_data(b);
    uint8_t *scratch = cws_loop_scratch(bio->loop, CWS_SCRATCH_CIPHER);
    BIO_clear_retry_flags(b);
    if (!scratch) {
        bio->out_status = CWS_NO_MEMORY;
        return -1;
    }
    size_t left = len > 0 ? (size_t)len : 0;
    while (left > 0) {
        size_t n = CWS_SCRATCH_SIZE - bio->out_len;
        if (n > left)
            n = left;
        memcpy(scratch + bio->out_len, data, n);
        bio->out_len += n;
        data += n;
        left -= n;
        if (bio->out_len == CWS_SCRATCH_SIZE && cws_tls_bio_flush(bio) != CWS_OK)
            return -1;
    }
    return len;
}

static int on_bio_read(BIO *b, char *out, int len)
{
    struct cws_tls_bio *bio = BIO_get_data(b);
    size_t n = len > 0 ? (size_t)len : 0;
    BIO_clear_retry_flags(b);
    if (bio->in_len == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    if (n > bio->in_len)
        n = bio->in_len;
    memcpy(out, bio->in, n);
    bio->in += n;
    bio->in_len -= n;
    return (int)n;
}

static long on_bio_ctrl(BIO *b, int command, long number, void *ptr)
{
    (void)b;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH; /* "done"; the real flush is the caller's */
}

static int on_bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

BIO_METHOD *cws_tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "transport");
    if (method) {
        BIO_meth_set_create(method, on_bio_create);
        BIO_meth_set_read(method, on_bio_read);
        BIO_meth_set_write(method, on_bio_write);
        BIO_meth_set_ctrl(method, on_bio_ctrl);
    }
    return method;
}

BIO *cws_tls_bio_new(const BIO_METHOD *method, struct cws_tls_bio *bio)
{
    BIO *b = BIO_new(method);
    if (b)
        BIO_set_data(b, bio);
    return b;
}
