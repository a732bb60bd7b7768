/* The fields of struct cws_tls_config. io/tls*.c only. */
#pragma once

#include "base/ref.h"
#include "io/tls.h"

struct ssl_ctx_st;
struct bio_method_st;

struct cws_tls_config {
    struct cws_ref ref;
    struct ssl_ctx_st *ctx;
    struct bio_method_st *bio_method; /* cws_tls_bio's */
    bool server;
    bool http1;
};
