/*
 * One HTTP/2 stream, either role. Loop thread only.
 *
 * A stream comes from cws_h2_conn_open (client) or on_stream (server). It lives until on_closed has
 * returned, or until cws_h2_stream_reset. Events come from inside the connection's input and
 * output. They never come from inside a call that the owner made, except cws_h2_conn_free. They may
 * send on, finish or reset streams of any connection, but must not free the connection.
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
    bool no_index; /* keep it out of the peer's HPACK table, since its value differs each time */
};

/* A field made of two strings, which are not copied. */
static inline struct cws_h2_field cws_h2_field_of(const char *name, const char *value)
{
    return (struct cws_h2_field){
        .name = name, .value = value, .name_len = strlen(name), .value_len = strlen(value)};
}

/* How a stream ended. */
struct cws_h2_end {
    uint32_t code;                /* HTTP/2 error code, 0: NO_ERROR */
    bool unprocessed;             /* the peer certainly did nothing with the request */
    bool reset;                   /* the peer sent RST_STREAM before both sides had ended */
    const struct cws_error *lost; /* why the connection went down; NULL: it did not */
};

struct cws_h2_stream_events {
    /* One field of a block; on_block follows the last one. Valid during the call. */
    void (*on_field)(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len);
    /* A block of fields is complete: headers or trailers. `is_last`: it ends the stream, and on_end
     * follows. Interim responses (1xx) are dropped as they arrive. */
    void (*on_block)(void *ctx, bool is_last);
    /* Instead of on_block: the fields exceeded the connection's max_header_list, and only the first
     * of them were passed on. */
    void (*on_oversized)(void *ctx, size_t max_header_list);
    /* Bytes of the body, valid during the call. Without manual credit they count as consumed when
     * the call returns. */
    void (*on_data)(void *ctx, const uint8_t *data, size_t len);
    /* The peer has ended its side in good order (END_STREAM). Nothing more will arrive. */
    void (*on_end)(void *ctx);
    /* Everything that was queued has been handed to the connection. */
    void (*on_drained)(void *ctx);
    /* The last event. Blocks that were still queued have been settled with CWS_CLOSED. */
    void (*on_closed)(void *ctx, const struct cws_h2_end *end);
};

/* Server, from on_stream: sets who gets the stream's events. */
void cws_h2_stream_set_events(struct cws_h2_stream *stream,
                              const struct cws_h2_stream_events *events, void *ctx);

/* Whether the receive window opens by cws_h2_stream_consume, or before each on_data. */
void cws_h2_stream_set_manual_credit(struct cws_h2_stream *stream, bool manual);
void cws_h2_stream_consume(struct cws_h2_stream *stream, size_t n);

/* Server: sends the response's header block. CWS_NO_MEMORY. */
enum cws_status cws_h2_stream_respond(struct cws_h2_stream *stream,
                                      const struct cws_h2_field *fields,
                                      size_t count) CWS_MUST_CHECK;

/* Queues bytes. Takes the block over and settles it with CWS_OK once flow control has let it pass
 * to the connection. */
void cws_h2_stream_send(struct cws_h2_stream *stream, struct cws_block *block);
/* Bytes queued. */
size_t cws_h2_stream_pending(const struct cws_h2_stream *stream);

/* Sends END_STREAM after what is queued. The second form, for the server, sends trailers (copied)
 * with it. CWS_NO_MEMORY. */
void cws_h2_stream_finish(struct cws_h2_stream *stream);
enum cws_status cws_h2_stream_finish_with(struct cws_h2_stream *stream,
                                          const struct cws_h2_field *trailers,
                                          size_t count) CWS_MUST_CHECK;
/* Server: the whole response is this header block, which ends the stream ("trailers-only").
 * CWS_NO_MEMORY. */
enum cws_status cws_h2_stream_respond_only(struct cws_h2_stream *stream,
                                           const struct cws_h2_field *fields,
                                           size_t count) CWS_MUST_CHECK;

/* Sends RST_STREAM. No more events come, and the stream must not be used again. Queued blocks are
 * settled with CWS_CLOSED. */
void cws_h2_stream_reset(struct cws_h2_stream *stream, uint32_t code);

/* The HTTP/2 error codes that the program uses. */
#define CWS_H2_NO_ERROR       0x0u
#define CWS_H2_INTERNAL_ERROR 0x2u
#define CWS_H2_REFUSED_STREAM 0x7u
#define CWS_H2_CANCEL         0x8u
