/*
 * Where OpenSSL reads and writes: no buffers of its own, unlike a memory BIO. Ciphertext is read
 * straight from what the transport below has just delivered, and written into the loop's scratch
 * memory, from where it goes down in pieces as large as that. io/tls*.c only; loop thread.
 */
#pragma once

#include "io/loop.h"
#include "io/transport.h"

struct bio_st;
struct bio_method_st;

struct cws_tls_bio {
    struct cws_loop *loop;
    struct cws_transport *below;
    const uint8_t *in; /* ciphertext to read next; the one who calls OpenSSL sets it */
    size_t in_len;
    size_t out_len; /* ciphertext in the scratch memory: 0 unless inside a call into OpenSSL */
    enum cws_status out_status; /* the first failure of the way down */
};

/* NULL when out of memory; BIO_meth_free frees it, after the last BIO. */
struct bio_method_st *cws_tls_bio_method_new(void);

/* A BIO over `bio`, which must outlive it. NULL when out of memory. */
struct bio_st *cws_tls_bio_new(const struct bio_method_st *method, struct cws_tls_bio *bio);

/* Hands down what OpenSSL wrote; to be called after each call into OpenSSL and before calling
 * anyone else, as the scratch memory is shared. Returns out_status. */
enum cws_status cws_tls_bio_flush(struct cws_tls_bio *bio);
