/*
 * This process's connections to one authority with one set of TLS settings and credentials.
 *
 * Channels with equal options share one pool. A call goes to a connection with a free stream. When
 * all connections are full another one is opened, up to a limit. Beyond the limit calls queue in
 * order, and their deadlines keep running. A call is sent again elsewhere only if the peer says
 * that it did not process it (REFUSED_STREAM, GOAWAY).
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
    size_t roots_len; /* these as in cws_tls_options */
    const char *cert_pem;
    size_t cert_len;
    const char *key_pem;
    size_t key_len;
    size_t max_receive;        /* 0: 100 MiB */
    unsigned max_connections;  /* 0: 64 */
    uint64_t ping_interval_ns; /* 0: 5 minutes. How long a connection with a long call may be silent
                                  before a PING is sent, and the least time between two PINGs on a
                                  connection */
};

/* Any thread. Does no I/O. The caller gets one reference. CWS_INVALID, CWS_TLS or CWS_NO_MEMORY,
 * with *err. */
enum cws_status cws_channel_new(struct cws_loop *loop, const struct cws_channel_options *options,
                                struct cws_channel **out_channel,
                                struct cws_error *err) CWS_MUST_CHECK;
void cws_channel_ref(struct cws_channel *channel);
/* Any thread. NULL is allowed. After the last reference is gone, and once no call is left, the
 * connections are closed with some delay. */
void cws_channel_unref(struct cws_channel *channel);

/* Any thread. */
struct cws_loop *cws_channel_loop(const struct cws_channel *channel);

/* Loop thread: whether there is a connection that is not in doubt, so that a call need not wait for
 * one to be made, and no call was refused here. */
bool cws_channel_is_connected(const struct cws_channel *channel);
/* Any thread: whether a call was refused here in the way that its `is_refusal` says. */
bool cws_channel_is_refused(const struct cws_channel *channel);

/* Loop thread: what the peer can do beyond gRPC, according to its last answer. What each bit means
 * is up to the users of the channel. */
void cws_channel_set_extensions(struct cws_channel *channel, unsigned extensions);
unsigned cws_channel_extensions(const struct cws_channel *channel);

/* Loop thread: counts the connections (open or being opened) and the calls (in flight or queued) of
 * all channels of `loop`. */
void cws_channel_count(struct cws_loop *loop, size_t *out_connections, size_t *out_calls);
