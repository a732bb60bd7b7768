/*
 * One HTTP/2 connection on one transport, client or server. nghttp2 implements the protocol; this
 * file moves bytes between it and the transport, handles the settings, and ends the connection.
 * Loop thread only.
 *
 * Output is collected during a loop iteration and written just before the loop waits. So what many
 * streams send at once leaves in a few writes.
 *
 * A peer that does not read cannot make frames pile up here. If thousands of frames that it has
 * caused (resets, acknowledgements, answers) wait to be sent, it is expelled.
 */
#pragma once

#include "h2/stream.h"
#include "io/loop.h"
#include "io/transport.h"

enum cws_h2_role {
    CWS_H2_CLIENT,
    CWS_H2_SERVER,
};

struct cws_h2_conn_events {
    /* The peer's first SETTINGS has come: its stream limit is known. */
    void (*on_ready)(void *ctx);
    /* A stream has closed, or the limit has changed: cws_h2_conn_free_slots may have grown, or
     * dropped to 0 for good (GOAWAY). */
    void (*on_room)(void *ctx);
    /* Server: a request begins. Call cws_h2_stream_set_events here; on_field and the others
     * follow. */
    void (*on_stream)(void *ctx, struct cws_h2_stream *stream);
    /* The last event: the connection is down (CWS_OK: in good order), and every stream has had its
     * on_closed. Never comes from inside a call that the owner made. Free the connection now or
     * later. */
    void (*on_closed)(void *ctx, const struct cws_error *err);
    /* Client, may be NULL: the peer has sent GOAWAY because it received too many PINGs. Comes from
     * inside the connection's input. */
    void (*on_too_many_pings)(void *ctx);
};

struct cws_h2_conn_options {
    uint32_t max_streams;   /* server: MAX_CONCURRENT_STREAMS */
    size_t max_header_list; /* MAX_HEADER_LIST_SIZE, 0: 64 KiB; see a stream's on_oversized */
    uint32_t stream_window; /* initial flow-control window of a stream, 0: 1 MiB; on a client it
                               grows with the bytes that arrive */
};

/* Takes the transport over in every case. NULL when out of memory; the transport is closed then. */
struct cws_h2_conn *cws_h2_conn_new(struct cws_loop *loop, struct cws_transport *transport,
                                    enum cws_h2_role role,
                                    const struct cws_h2_conn_options *options,
                                    const struct cws_h2_conn_events *events, void *ctx);

/* Closes at once. Streams that are still open get on_closed (lost); no connection event comes. Must
 * not be called from inside a stream event of this connection. NULL is allowed. */
void cws_h2_conn_free(struct cws_h2_conn *conn);

/* Client: how many streams may be opened now. 0 before on_ready, after GOAWAY, and while the peer
 * is in doubt. */
size_t cws_h2_conn_free_slots(const struct cws_h2_conn *conn);
/* Client: the peer is ready and not draining, but its limit allows no stream at all at present. */
bool cws_h2_conn_is_shut(const struct cws_h2_conn *conn);
size_t cws_h2_conn_stream_count(const struct cws_h2_conn *conn);
/* The connection takes no more streams: GOAWAY was sent or received, or it is down. */
bool cws_h2_conn_is_draining(const struct cws_h2_conn *conn);

/* Client: opens a stream with this header block. The body is sent with cws_h2_stream_send. NULL
 * when out of memory or when the connection can take no stream (ids used up, draining). */
struct cws_h2_stream *cws_h2_conn_open(struct cws_h2_conn *conn, const struct cws_h2_field *fields,
                                       size_t count, const struct cws_h2_stream_events *events,
                                       void *ctx);

/* How often bytes have arrived from the peer. While this does not change, nothing was received. */
uint64_t cws_h2_conn_arrivals(const struct cws_h2_conn *conn);

/* Client: the peer may be gone. No stream can be opened until something arrives from it; on_room
 * reports that. */
void cws_h2_conn_doubt(struct cws_h2_conn *conn);
bool cws_h2_conn_is_doubted(const struct cws_h2_conn *conn);
/* Client: sends a PING. A living peer answers it. */
void cws_h2_conn_ping(struct cws_h2_conn *conn);
/* Gives the connection up because of `why`. The next flush tells its streams and its owner. */
void cws_h2_conn_abandon(struct cws_h2_conn *conn, const struct cws_error *why);

/* Changes what is advertised and enforced. */
void cws_h2_conn_set_max_header_list(struct cws_h2_conn *conn, size_t max_header_list);

/* Sends GOAWAY and takes no more streams. Closes when the last stream has ended. */
void cws_h2_conn_drain(struct cws_h2_conn *conn);

/* Ends a connection whose peer demands too much. Sends GOAWAY with ENHANCE_YOUR_CALM, if the peer
 * takes it at once. The owner gets on_closed with CWS_PROTOCOL and `why`. Allowed inside events. */
void cws_h2_conn_expel(struct cws_h2_conn *conn, const char *why);
