/*
 * One gRPC call on the client's side: unary, server-streaming or bidirectional. Loop thread only.
 *
 * States: queued (waits for a connection) → open (stream exists) → closed. on_status is the last
 * event, always comes exactly once unless the call is cancelled by its owner, and frees the call
 * after it returns.
 */
#pragma once

#include "base/block.h"
#include "grpc/channel.h"
#include "grpc/status.h"

struct cws_call;

struct cws_call_events {
    /* A field of the answer's headers that gRPC itself has no use for; its bytes are valid during
     * the call. May be NULL. */
    void (*on_header)(void *ctx, const char *name, size_t name_len, const char *value,
                      size_t value_len);
    /* One whole message; `data` is valid during the call. */
    void (*on_message)(void *ctx, const uint8_t *data, size_t len);
    /* Both may be NULL. A message of `message_len` bytes has begun with these: true if it is wanted
     * by on_piece as it comes, from these bytes on, instead of whole. A call that ends amid the
     * pieces ends with a failure. */
    bool (*on_begun)(void *ctx, const uint8_t *data, size_t len, size_t message_len);
    void (*on_piece)(void *ctx, const uint8_t *data, size_t len);
    /* May be NULL. The call has got a stream: what waits for an answer may count from now on. Comes
     * again when the call is sent again elsewhere. */
    void (*on_open)(void *ctx);
    /* Last. `status` may be moved from. */
    void (*on_status)(void *ctx, struct cws_grpc_status *status);
};

struct cws_call_options {
    const char *path;     /* static memory */
    uint64_t deadline_ns; /* absolute, CWS_NO_DEADLINE: none. Ends the call by an own timer, and is
                             sent as grpc-timeout */
    bool holds_back;      /* the peer's window follows cws_call_set_held; it does not grow */
};

/* Bytes in front of a message in its block (the gRPC prefix), filled in by cws_call_send. */
#define CWS_CALL_PREFIX 5

/* Starts the call. `events` are never called from inside. NULL when out of memory. */
struct cws_call *cws_call_start(struct cws_channel *channel, const struct cws_call_options *options,
                                const struct cws_call_events *events, void *ctx);

/* Queues one message: block->data has CWS_CALL_PREFIX bytes, then the message. Taken over; settled
 * with CWS_OK once handed to the connection under flow control (for the first message: once the
 * call can no longer be sent again elsewhere), or with CWS_CLOSED. Settling may happen at any later
 * time on the loop thread, also from inside this call. */
void cws_call_send(struct cws_call *call, struct cws_block *message);

/* No more messages after those queued. */
void cws_call_half_close(struct cws_call *call);

/* Whether it has a stream now; before it is queued, perhaps for the second time. */
bool cws_call_is_open(const struct cws_call *call);

/* The call has been waited for in vain: its connection is put to the test if nothing has come on it
 * since the call was sent. A call's deadline does this by itself. */
void cws_call_suspect(struct cws_call *call);

/* A call that holds back: its owner still has `held` bytes of what it was handed. As many of those
 * received do not count as used up, so that the peer may only send what the window has beside
 * them. 0 at first. */
void cws_call_set_held(struct cws_call *call, size_t held);

/* Resets the stream (CANCEL) and frees the call; no event comes any more. */
void cws_call_cancel(struct cws_call *call);
