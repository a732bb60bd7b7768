/*
 * The interface between a protocol and the byte stream under it: TCP, a Unix socket, TLS over
 * either, or memory in tests.
 *
 * A transport is connected and idle when it is handed over. Its owner calls cws_transport_start
 * once and then gets events. cws_transport_close ends it: no event comes after that call, and the
 * memory is freed once the descriptor is closed. It must be called exactly once, even after
 * on_closed. Loop thread only.
 */
#pragma once

#include "base/status.h"

struct cws_transport;

struct cws_transport_events {
    /* Bytes from the peer; valid during the call. */
    void (*on_data)(void *ctx, const uint8_t *data, size_t len);
    /* The kernel has taken everything that was written, after cws_transport_pending had been above
     * 0. */
    void (*on_drained)(void *ctx);
    /* The last event. err->status is CWS_OK if the peer ended the connection in good order;
     * otherwise *err says why it ended. Not called for the owner's own cws_transport_close, which
     * the owner must still call. */
    void (*on_closed)(void *ctx, const struct cws_error *err);
    /* May be NULL. Instead of on_closed when the peer ends its sending in good order, by the end of
     * a plain socket's stream or by TLS close_notify: it may still read what is written. on_closed
     * follows once that fails; with TLS also when the socket's stream ends, too. */
    void (*on_half_closed)(void *ctx);
};

/* Who the peer has proven to be, by a certificate that was verified. */
#define CWS_IDENTITY_SIZE 128
struct cws_identity {
    char uri[CWS_IDENTITY_SIZE]; /* the certificate's first URI; "": it has none */
    int64_t expires_s;           /* its end, in seconds since 1970 */
};

struct cws_transport_ops {
    void (*start)(struct cws_transport *t, const struct cws_transport_events *events, void *ctx);
    enum cws_status (*write)(struct cws_transport *t, const uint8_t *data, size_t len);
    size_t (*pending)(const struct cws_transport *t);
    void (*pause)(struct cws_transport *t, bool paused);
    void (*close)(struct cws_transport *t);
    void (*finish)(struct cws_transport *t);
    /* NULL: such a transport never knows. */
    const struct cws_identity *(*identity)(const struct cws_transport *t);
};

/* First member of every transport. */
struct cws_transport {
    const struct cws_transport_ops *ops;
};

static inline void cws_transport_start(struct cws_transport *t,
                                       const struct cws_transport_events *events, void *ctx)
{
    t->ops->start(t, events, ctx);
}

/* Takes all bytes: those that the kernel does not take now are copied and written later.
 * CWS_NO_MEMORY; CWS_TOO_LARGE when more than 256 MiB would be pending; CWS_CLOSED once the
 * connection is broken (on_closed says why). After a failure some of the bytes may have been sent,
 * so close the transport. Keep cws_transport_pending small: write more when it is 0, or after
 * on_drained. */
CWS_MUST_CHECK static inline enum cws_status cws_transport_write(struct cws_transport *t,
                                                                 const uint8_t *data, size_t len)
{
    return t->ops->write(t, data, len);
}

static inline size_t cws_transport_pending(const struct cws_transport *t)
{
    return t->ops->pending(t);
}

/* Stops / resumes reading from the peer. */
static inline void cws_transport_pause(struct cws_transport *t, bool paused)
{
    t->ops->pause(t, paused);
}

/* Ends the sending in good order, after what was written: the end of a plain socket's stream, or
 * TLS close_notify. Reading goes on. No write may follow. Harmless if repeated. */
static inline void cws_transport_finish(struct cws_transport *t)
{
    t->ops->finish(t);
}

static inline void cws_transport_close(struct cws_transport *t)
{
    t->ops->close(t);
}

/* The peer's identity, which lives as long as the transport. NULL: it has shown no certificate. */
static inline const struct cws_identity *cws_transport_identity(const struct cws_transport *t)
{
    return t->ops->identity ? t->ops->identity(t) : NULL;
}
