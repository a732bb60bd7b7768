/* A transport whose peer is the fuzz input: what is written is thrown away, what is read is fed in
 * by hand. */
#pragma once

#include "base/base.h"
#include "fuzz.h"
#include "io/transport.h"
#include "io/uv.h"

struct memory_transport {
    struct cws_transport base;
    const struct cws_transport_events *events;
    void *ctx;
    bool started;
    bool paused;
    bool closed;
};

static inline struct memory_transport *memory_of(const struct cws_transport *t)
{
    return cws_container_of(t, struct memory_transport, base);
}

static inline void memory_start(struct cws_transport *t, const struct cws_transport_events *events,
                                void *ctx)
{
    memory_of(t)->events = events;
    memory_of(t)->ctx = ctx;
    memory_of(t)->started = true;
}

static inline enum cws_status memory_write(struct cws_transport *t, const uint8_t *data, size_t len)
{
    REQUIRE(!memory_of(t)->closed);
    (void)data;
    (void)len;
    return CWS_OK;
}

static inline size_t memory_pending(const struct cws_transport *t)
{
    (void)t;
    return 0;
}

static inline void memory_pause(struct cws_transport *t, bool paused)
{
    memory_of(t)->paused = paused;
}

static inline void memory_close(struct cws_transport *t)
{
    REQUIRE(!memory_of(t)->closed);
    memory_of(t)->closed = true;
}

static const struct cws_transport_ops memory_ops = {
    .start = memory_start,
    .write = memory_write,
    .pending = memory_pending,
    .pause = memory_pause,
    .close = memory_close,
};

/* Runs what is due now. */
static inline void settle(struct cws_loop *loop)
{
    for (int i = 0; i < 4; i++)
        uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
}

/* Feeds the input in pieces, then ends the connection as the peer would. */
static inline void memory_feed(struct memory_transport *t, struct cws_loop *loop,
                               const uint8_t *data, size_t size)
{
    uint8_t seed = size ? data[0] : 0;
    while (size && t->started && !t->closed) {
        size_t piece = fuzz_piece(seed = (uint8_t)(seed * 167 + 13), size);
        t->events->on_data(t->ctx, data, piece);
        data += piece;
        size -= piece;
        settle(loop);
    }
    if (t->started && !t->closed) {
        struct cws_error end = {.status = CWS_OK};
        t->events->on_closed(t->ctx, &end);
    }
    settle(loop);
}
