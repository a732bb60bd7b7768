/*
 * The connections of this process to one authority under one set of TLS settings and credentials.
 *
 * Channels of equal options share one pool. A call goes to a connection with a free stream; when
 * all are full another is opened, up to a bound; beyond it calls queue, in order, under their
 * deadlines. What the peer says it did not process (REFUSED_STREAM, GOAWAY) is sent again
 * elsewhere; nothing else is.
 */
#pragma once

#include "grpc/metadata.h"
#include "grpc/target.h"
#include "io/loop.h"
#include "io/tls.h"

struct cws_channel;

struct cws_channel_options {
    const char *url;
    const struct cws_metadata *metadata; /* sent with every call; copied */
    const char *roots_pem;
    size_t roots_len; /* as cws_tls_options */
    const char *cert_pem;
    size_t cert_len;
    const char *key_pem;
    size_t key_len;
    size_t max_receive;        /* 0: 100 MiB */
    unsigned max_connections;  /* 0: 64 */
    uint64_t ping_interval_ns; /* 0: 5 minutes; how long silence under a long call is no reason for
                                  a PING, and the least time between two PINGs on a connection */
};

/* Any thread; no I/O. Counted. CWS_INVALID, CWS_TLS with *err. */
enum cws_status cws_channel_new(struct cws_loop *loop, const struct cws_channel_options *options,
                                struct cws_channel **out_channel,
                                struct cws_error *err) CWS_MUST_CHECK;
void cws_channel_ref(struct cws_channel *channel);
/* Any thread; NULL is allowed. The last reference closes idle connections once no call uses
 * them. */
void cws_channel_unref(struct cws_channel *channel);

/* Any thread. */
struct cws_loop *cws_channel_loop(const struct cws_channel *channel);
const char *cws_channel_authority(const struct cws_channel *channel);

/* Loop thread: what the peer is known to be able to do beyond gRPC, as its last answer said; the
 * bits are their users' own. */
void cws_channel_set_extensions(struct cws_channel *channel, unsigned extensions);
unsigned cws_channel_extensions(const struct cws_channel *channel);

/* Loop thread: connections (open or being made) and calls (in flight or queued) of all channels of
 * `loop`. */
void cws_channel_count(struct cws_loop *loop, size_t *out_connections, size_t *out_calls);
