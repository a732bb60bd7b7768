/*
 * Two ends of a connection in memory, on one loop. What one end writes reaches the other just
 * before the loop next waits. How bytes travel can be set for each end: in pieces, with little
 * room, or not at all for a while.
 */
#pragma once

#include "support/peer.h"

struct memory_end {
    struct cws_transport transport;
    struct cws_loop *loop;
    struct memory_end *other; /* NULL once it is closed */
    const struct cws_transport_events *events;
    void *ctx;
    struct cws_buf arriving; /* written by the other end, not delivered yet */
    struct cws_buf stuck;    /* written by this end, no room on the way: pending */
    struct cws_deferred turn;
    struct cws_error how; /* of on_closed */
    size_t received;      /* bytes delivered to this end */
    bool was_pending;     /* on_drained is owed when `stuck` is empty */
    bool drain_due;
    bool paused;
    bool ending; /* on_closed is due after what arrives */
    bool ended;
    bool broken; /* writes fail */
    bool in_turn;
    bool closed;

    /* For the test to set: */
    size_t piece;         /* the most bytes in one on_data; 0: any number */
    size_t room;          /* the most bytes in flight to this end; 0: any number */
    bool held;            /* nothing is delivered to this end (memory_release) */
    unsigned *turns_left; /* not NULL: counted down by each delivery; none takes place at 0 */
};

static inline struct memory_end *memory_of(const struct cws_transport *t)
{
    return cws_container_of(t, struct memory_end, transport);
}

static inline void memory_wake(struct memory_end *end)
{
    if (!end->closed && cws_list_is_empty(&end->turn.node))
        cws_loop_defer(end->loop, &end->turn);
}

/* Sends as much of what `from` has written as there is room for. */
static inline void memory_move(struct memory_end *from)
{
    struct memory_end *to = from->other;
    if (!to)
        return;
    size_t n = from->stuck.len;
    if (to->room && n > to->room - to->arriving.len)
        n = to->room - to->arriving.len;
    if (n && cws_buf_append(&to->arriving, cws_buf_bytes(&from->stuck), n) == CWS_OK) {
        cws_buf_consume(&from->stuck, n);
        memory_wake(to);
    } else if (n) {
        memory_wake(from); /* memory was made to fail: again later */
    }
    if (from->stuck.len) {
        from->was_pending = true;
    } else if (from->was_pending) {
        from->was_pending = false;
        from->drain_due = true;
        memory_wake(from);
    }
}

static inline void memory_deliver(struct memory_end *end)
{
    size_t n = end->piece && end->arriving.len > end->piece ? end->piece : end->arriving.len;
    uint8_t *copy = malloc(n); /* of exactly that size: reading past it is caught */
    memcpy(copy, cws_buf_bytes(&end->arriving), n);
    cws_buf_consume(&end->arriving, n);
    end->received += n;
    if (end->other)
        memory_move(end->other);
    end->events->on_data(end->ctx, copy, n);
    free(copy);
}

static inline bool memory_may_deliver(const struct memory_end *end)
{
    return end->events && !end->closed && !end->paused && !end->held && !end->ended &&
           (end->arriving.len || end->ending);
}

static inline void memory_turn(struct cws_deferred *deferred)
{
    struct memory_end *end = cws_container_of(deferred, struct memory_end, turn);
    end->in_turn = true;
    memory_move(end);
    if (end->drain_due && end->events && !end->ended) {
        end->drain_due = false;
        end->events->on_drained(end->ctx);
    }
    if (memory_may_deliver(end) && (!end->turns_left || *end->turns_left)) {
        if (end->turns_left)
            --*end->turns_left;
        if (end->arriving.len) {
            memory_deliver(end);
        } else {
            end->ended = true;
            end->events->on_closed(end->ctx, &end->how);
        }
        memory_wake(end);
    }
    end->in_turn = false;
    if (end->closed)
        free(end);
}

static inline void memory_start(struct cws_transport *t, const struct cws_transport_events *events,
                                void *ctx)
{
    memory_of(t)->events = events;
    memory_of(t)->ctx = ctx;
    memory_wake(memory_of(t));
}

static inline enum cws_status memory_write(struct cws_transport *t, const uint8_t *data, size_t len)
{
    struct memory_end *end = memory_of(t);
    assert_false(end->closed);
    if (end->broken || end->ended || !end->other)
        return CWS_CLOSED;
    enum cws_status status = cws_buf_append(&end->stuck, data, len);
    if (status == CWS_OK)
        memory_move(end);
    return status;
}

static inline size_t memory_pending(const struct cws_transport *t)
{
    return memory_of(t)->stuck.len;
}

static inline void memory_pause(struct cws_transport *t, bool paused)
{
    memory_of(t)->paused = paused;
    memory_wake(memory_of(t));
}

/* The end of the connection as seen by this end: writes fail at once, what has arrived is delivered
 * before on_closed. */
static inline void memory_break(struct memory_end *end, enum cws_status status, const char *why)
{
    end->broken = true;
    end->ending = true;
    cws_error_set(&end->how, status, "%s", why);
    memory_wake(end);
}

static inline void memory_release(struct memory_end *end)
{
    end->held = false;
    memory_wake(end);
}

static inline void memory_close(struct cws_transport *t)
{
    struct memory_end *end = memory_of(t);
    assert_false(end->closed);
    end->closed = true;
    if (end->other) {
        end->other->other = NULL;
        if (!end->other->ending)
            memory_break(end->other, CWS_OK, "");
    }
    cws_list_remove(&end->turn.node);
    cws_buf_done(&end->arriving);
    cws_buf_done(&end->stuck);
    if (!end->in_turn)
        free(end);
}

static const struct cws_transport_ops memory_ops = {
    .start = memory_start,
    .write = memory_write,
    .pending = memory_pending,
    .pause = memory_pause,
    .close = memory_close,
};

static inline struct memory_end *memory_end_new(struct cws_loop *loop)
{
    struct memory_end *end = calloc(1, sizeof(*end));
    assert_non_null(end);
    end->transport.ops = &memory_ops;
    end->loop = loop;
    end->turn.run = memory_turn;
    cws_list_init(&end->turn.node);
    cws_buf_init(&end->arriving, SIZE_MAX / 2);
    cws_buf_init(&end->stuck, SIZE_MAX / 2);
    return end;
}

static inline void memory_pair(struct cws_loop *loop, struct memory_end **out_a,
                               struct memory_end **out_b)
{
    *out_a = memory_end_new(loop);
    *out_b = memory_end_new(loop);
    (*out_a)->other = *out_b;
    (*out_b)->other = *out_a;
}

/* With all ends in memory there is nothing to wait for. */
#define RUN_UNTIL(loop, condition) \
    while (!(condition)) \
    uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT)

/* How the bytes travel, for a test that tries each way. */
struct memory_shape {
    const char *name;
    size_t piece;
    size_t room;
};

static const struct memory_shape MEMORY_SHAPES[] = {
    {"as written", 0, 0},
    {"byte by byte", 1, 0},
    {"in sevens", 7, 0},
    {"little room", 0, 300},
    {"little room, byte by byte", 1, 64},
};

static inline void memory_set_shape(struct memory_end *end, const struct memory_shape *shape)
{
    end->piece = shape->piece;
    end->room = shape->room;
}
