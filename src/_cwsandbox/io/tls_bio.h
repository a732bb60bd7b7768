/*
 * The BIO through which OpenSSL reads and writes. Unlike a memory BIO it has no buffers. Ciphertext
 * is read directly from what the transport below has just delivered. It is written to the loop's
 * scratch memory, and passed down whenever that is full. io/tls*.c only; loop thread.
 */
#pragma once

#include "io/loop.h"
#include "io/transport.h"

struct bio_st;
struct bio_method_st;

struct cws_tls_bio {
    struct cws_loop *loop;
    struct cws_transport *below;
    const uint8_t *in; /* ciphertext to read next; set by whoever calls OpenSSL */
    size_t in_len;
    size_t out_len; /* ciphertext in the scratch memory; 0 except during a call into OpenSSL */
    enum cws_status out_status; /* the first failure to write it to `below` */
};

/* NULL when out of memory. Free it with BIO_meth_free, after the last BIO. */
struct bio_method_st *cws_tls_bio_method_new(void);

/* A BIO over `bio`, which must outlive it. NULL when out of memory. */
struct bio_st *cws_tls_bio_new(const struct bio_method_st *method, struct cws_tls_bio *bio);

/* Passes down what OpenSSL wrote. Must be called after each call into OpenSSL, before any other
 * code runs, because the scratch memory is shared. Returns out_status. */
enum cws_status cws_tls_bio_flush(struct cws_tls_bio *bio);
