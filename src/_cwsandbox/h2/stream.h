/*
 * One HTTP/2 stream, either role. Loop thread only.
 *
 * A stream is handed out by cws_h2_conn_open (client) or on_stream (server) and lives until
 * on_closed has returned, or until cws_h2_stream_reset. Events come from inside the connection's
 * input and output, never from inside a call of the owner's but cws_h2_conn_free: they may send,
 * finish or reset streams of any connection, but must not free the connection.
 */
#pragma once

#include <string.h>

#include "base/block.h"

struct cws_h2_conn;
struct cws_h2_stream;

struct cws_h2_field {
    const char *name;
    const char *value;
    size_t name_len;
    size_t value_len;
    bool no_index; /* keep it out of the peer's header table: it differs each time */
};

/* A field of two strings, which are referred to, not copied. */
static inline struct cws_h2_field cws_h2_field_of(const char *name, const char *value)
{
    return (struct cws_h2_field){
        .name = name, .value = value, .name_len = strlen(name), .value_len = strlen(value)};
}

/* How a stream ended. */
struct cws_h2_end {
    uint32_t code; /* HTTP/2 error code, 0: NO_ERROR */
    bool
        unprocessed; /* the peer has said, or it is certain, that it did nothing with the request */
    bool reset;      /* by RST_STREAM of the peer, before both sides had ended */
    const struct cws_error *lost; /* not NULL: the connection went down, and why */
};

struct cws_h2_stream_events {
    /* One field of the block that on_block will conclude. Valid during the call. */
    void (*on_field)(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len);
    /* A block of fields is complete: headers or trailers. `is_last`: it ends the stream, on_end
     * follows. Interim responses (1xx) are dropped as they come. */
    void (*on_block)(void *ctx, bool is_last);
    /* Instead of on_block: the fields were more than the connection's max_header_list. Only the
     * first of them were passed on. */
    void (*on_oversized)(void *ctx, size_t max_header_list);
    /* Bytes of the body. Without manual credit they are consumed when the call returns. */
    void (*on_data)(void *ctx, const uint8_t *data, size_t len);
    /* The peer has ended its side in good order (END_STREAM); nothing more will be received. */
    void (*on_end)(void *ctx);
    /* Everything queued was handed to the connection. */
    void (*on_drained)(void *ctx);
    /* Last. The blocks still queued have been settled with CWS_CLOSED. */
    void (*on_closed)(void *ctx, const struct cws_h2_end *end);
};

/* Server, from on_stream: who is to hear of the stream. */
void cws_h2_stream_set_events(struct cws_h2_stream *stream,
                              const struct cws_h2_stream_events *events, void *ctx);

/* The receive window follows cws_h2_stream_consume instead of on_data's return. */
void cws_h2_stream_set_manual_credit(struct cws_h2_stream *stream);
void cws_h2_stream_consume(struct cws_h2_stream *stream, size_t n);

/* Server: the response's header block. CWS_NO_MEMORY. */
enum cws_status cws_h2_stream_respond(struct cws_h2_stream *stream,
                                      const struct cws_h2_field *fields,
                                      size_t count) CWS_MUST_CHECK;

/* Queues bytes; the block is taken over and settled with CWS_OK once handed to the connection under
 * flow control. */
void cws_h2_stream_send(struct cws_h2_stream *stream, struct cws_block *block);
/* Bytes queued. */
size_t cws_h2_stream_pending(const struct cws_h2_stream *stream);

/* END_STREAM after what is queued; with trailers (copied) on the server. */
void cws_h2_stream_finish(struct cws_h2_stream *stream);
enum cws_status cws_h2_stream_finish_with(struct cws_h2_stream *stream,
                                          const struct cws_h2_field *trailers,
                                          size_t count) CWS_MUST_CHECK;
/* Server: the response is a header block alone, ending the stream ("trailers-only"). */
enum cws_status cws_h2_stream_respond_only(struct cws_h2_stream *stream,
                                           const struct cws_h2_field *fields,
                                           size_t count) CWS_MUST_CHECK;

/* RST_STREAM; no event comes any more and the stream must not be used again. Queued blocks are
 * settled with CWS_CLOSED. */
void cws_h2_stream_reset(struct cws_h2_stream *stream, uint32_t code);

/* HTTP/2 error codes that are used by name. */
#define CWS_H2_NO_ERROR       0x0u
#define CWS_H2_INTERNAL_ERROR 0x2u
#define CWS_H2_REFUSED_STREAM 0x7u
#define CWS_H2_CANCEL         0x8u
