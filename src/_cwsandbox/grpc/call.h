/*
 * One gRPC call on the client's side: unary, server-streaming or bidirectional. Loop thread only.
 *
 * States: queued (waits for a connection) → open (has a stream) → closed. on_status is the last
 * event. It comes exactly once, unless the owner cancels the call; the call is freed when it
 * returns.
 */
#pragma once

#include "base/block.h"
#include "grpc/channel.h"
#include "grpc/frame.h"
#include "grpc/status.h"

struct cws_call;

struct cws_call_events {
    /* May be NULL. A response header that gRPC itself does not use. The bytes are valid during the
     * call. */
    void (*on_header)(void *ctx, const char *name, size_t name_len, const char *value,
                      size_t value_len);
    /* One whole message; `data` is valid during the call. */
    void (*on_message)(void *ctx, const uint8_t *data, size_t len);
    /* Both may be NULL. A message of `message_len` bytes begins with `data`. If on_begun returns
     * true, on_piece gets the message as it arrives, starting with these bytes; otherwise
     * on_message gets it whole. A call that ends in the middle of such a message fails. */
    bool (*on_begun)(void *ctx, const uint8_t *data, size_t len, size_t message_len);
    void (*on_piece)(void *ctx, const uint8_t *data, size_t len);
    /* May be NULL. The call has got a stream, so a time limit for an answer may start here. Comes
     * again if the call is sent again on another connection. */
    void (*on_open)(void *ctx);
    /* The last event. `status` may be moved from (cws_grpc_status_move). */
    void (*on_status)(void *ctx, struct cws_grpc_status *status);
};

/* Where calls wait for another channel that were refused, or that their own has no connection for,
 * as they were then. Their time limits go on, and they can be cancelled. */
struct cws_refused_calls {
    struct cws_list calls; /* cws_call_of_refused */
    /* One has come. It may leave again inside of this. */
    void (*on_refused)(struct cws_refused_calls *refused, struct cws_call *call);
};

/* So many fields may one call have beyond its channel's. */
#define CWS_CALL_MAX_FIELDS 16

struct cws_call_options {
    const char *path; /* static memory; NULL: nothing is asked for. Such a call ends with OK when a
                         connection has room for it, and so tells that there is one */
    /* Where the call goes if its channel gets no connection for it, so that nothing of it has been
     * sent: another channel, which must have the same loop, and its path there. NULL: nowhere. */
    struct cws_channel *otherwise;
    const char *otherwise_path;
    /* It goes there, too, if the peer refuses it with a status, before anything else, that this
     * says yes to: one that proves that nothing was done. NULL: none does. Also without another
     * channel, its own is marked then (cws_channel_is_refused). */
    bool (*is_refusal)(const struct cws_grpc_status *status);
    /* Where it waits, once, if it is refused so, or its channel gets no connection for it, and it
     * has no other channel. NULL: it ends. */
    struct cws_refused_calls *refused;
    void *owner; /* whose call it is, for those who find it there */
    /* Sent with this call alone, after the channel's own; the peer is told to remember none of it.
     * At most CWS_CALL_MAX_FIELDS fields. Borrowed until the call has ended. NULL: none. */
    const struct cws_metadata *metadata;
    uint64_t deadline_ns; /* absolute; CWS_NO_DEADLINE: none. Enforced by a timer here, and sent as
                             grpc-timeout */
    bool holds_back;      /* the peer's window depends on cws_call_set_held, and does not grow */
};

/* Starts the call. `events` are never called from inside. NULL when out of memory. */
struct cws_call *cws_call_start(struct cws_channel *channel, const struct cws_call_options *options,
                                const struct cws_call_events *events, void *ctx);

/* Queues one message: block->data holds CWS_FRAME_PREFIX bytes, which are filled in here, then
 * the message, whose end may be the block's tail. Takes the block over. It is settled with CWS_OK
 * once flow control has let it pass to the connection; the first message is settled only when the
 * call can no longer be sent again elsewhere. Otherwise it is settled with CWS_CLOSED. Either may
 * happen from inside this call or later, on the loop thread. */
void cws_call_send(struct cws_call *call, struct cws_block *message);

/* Ends the request after the messages that are queued. */
void cws_call_half_close(struct cws_call *call);

/* Whether it has a stream now. A call without one is queued, perhaps for the second time. */
bool cws_call_is_open(const struct cws_call *call);

/* The owner has waited for this call in vain. Tests its connection (liveness.c) if nothing has
 * arrived on that since the call was sent. A deadline that passes does the same. */
void cws_call_suspect(struct cws_call *call);

/* Its channel's path; NULL if it asks for nothing. */
const char *cws_call_path(const struct cws_call *call);

/* The call of a node in `refused->calls`. */
struct cws_call *cws_call_of_refused(struct cws_list *node);
/* As in its options. */
void *cws_call_owner(const struct cws_call *call);
/* For a call that waits in `options->refused`, and leaves that: it is sent over this channel, which
 * must have the same loop. */
void cws_call_send_elsewhere(struct cws_call *call, struct cws_channel *channel);
/* Likewise: it ends with the status that it was refused with. */
void cws_call_end_refused(struct cws_call *call);
void cws_call_end_all_refused(struct cws_refused_calls *refused);

/* For a call with `holds_back`: its owner still holds `held` of the bytes that it was given. These
 * are not returned to the peer's flow-control window, so that the peer can send only what else the
 * window allows. 0 at first. */
void cws_call_set_held(struct cws_call *call, size_t held);

/* Resets the stream (CANCEL) and frees the call. No more events come. */
void cws_call_cancel(struct cws_call *call);
