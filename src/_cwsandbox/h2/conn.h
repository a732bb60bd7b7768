/*
 * One HTTP/2 connection on one transport, client or server: nghttp2 does the protocol, this file
 * the two pumps, the settings, and the end. Loop thread only.
 *
 * Output is collected over a loop iteration and written just before the loop waits: what many
 * streams send at once leaves in few writes.
 *
 * A peer that does not read cannot pile up frames here: when thousands wait that it has caused
 * (resets, acknowledgements, answers), it is expelled.
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
    /* A stream has closed or the limit changed: cws_h2_conn_free_slots may have grown, or fallen to
     * 0 for good (GOAWAY). */
    void (*on_room)(void *ctx);
    /* Server: a request begins. Give it events with cws_h2_stream_set_events; on_field etc.
     * follow. */
    void (*on_stream)(void *ctx, struct cws_h2_stream *stream);
    /* Last: the connection is down (CWS_OK: in good order) and every stream has had its on_closed.
     * Never from inside a call of the owner's. Free it now or later. */
    void (*on_closed)(void *ctx, const struct cws_error *err);
    /* Client, may be NULL: the peer has said GOAWAY because it was sent too many PINGs. From inside
     * the connection's input. */
    void (*on_too_many_pings)(void *ctx);
};

struct cws_h2_conn_options {
    uint32_t max_streams;   /* server: MAX_CONCURRENT_STREAMS */
    size_t max_header_list; /* MAX_HEADER_LIST_SIZE, 0: 64 KiB; see on_oversized of a stream */
    uint32_t stream_window; /* bytes a stream may be behind at first, 0: 1 MiB; grows with what it
                               delivers (client) */
};

/* Takes the transport over in every case (closed when NULL is returned: out of memory). */
struct cws_h2_conn *cws_h2_conn_new(struct cws_loop *loop, struct cws_transport *transport,
                                    enum cws_h2_role role,
                                    const struct cws_h2_conn_options *options,
                                    const struct cws_h2_conn_events *events, void *ctx);

/* Closes at once: streams still open get on_closed (lost) unless they were reset; no connection
 * event comes. Not from inside a stream event of this connection. NULL is allowed. */
void cws_h2_conn_free(struct cws_h2_conn *conn);

/* Client: how many streams may be opened now: 0 before on_ready, after GOAWAY and in doubt. */
size_t cws_h2_conn_free_slots(const struct cws_h2_conn *conn);
/* Client: the peer takes new streams in principle, and allows none at present. */
bool cws_h2_conn_is_shut(const struct cws_h2_conn *conn);
size_t cws_h2_conn_stream_count(const struct cws_h2_conn *conn);
/* The connection takes no new streams any more (GOAWAY either way, or it is down). */
bool cws_h2_conn_is_draining(const struct cws_h2_conn *conn);

/* Client: opens a stream with this header block; a body follows by cws_h2_stream_send. NULL when
 * out of memory or when the connection can take no stream (ids used up, draining). */
struct cws_h2_stream *cws_h2_conn_open(struct cws_h2_conn *conn, const struct cws_h2_field *fields,
                                       size_t count, const struct cws_h2_stream_events *events,
                                       void *ctx);

/* How often bytes have come from the peer: while this stays the same, nothing was received. */
uint64_t cws_h2_conn_arrivals(const struct cws_h2_conn *conn);

/* Client: the peer may be gone. No stream can be opened until anything comes from it; on_room tells
 * of that. */
void cws_h2_conn_doubt(struct cws_h2_conn *conn);
bool cws_h2_conn_is_doubted(const struct cws_h2_conn *conn);
/* Client: sends a PING, which a peer that is there answers. */
void cws_h2_conn_ping(struct cws_h2_conn *conn);
/* The connection is lost because of `why`: the next flush tells its streams and its owner. */
void cws_h2_conn_abandon(struct cws_h2_conn *conn, const struct cws_error *why);

/* Changes what is advertised and enforced. */
void cws_h2_conn_set_max_header_list(struct cws_h2_conn *conn, size_t max_header_list);

/* GOAWAY: no new streams; closes when the last one has ended. */
void cws_h2_conn_drain(struct cws_h2_conn *conn);

/* Ends a connection whose peer asks too much: GOAWAY with ENHANCE_YOUR_CALM, as far as the peer
 * takes it at once. The owner hears of it by on_closed, with CWS_PROTOCOL and `why`. Allowed inside
 * events. */
void cws_h2_conn_expel(struct cws_h2_conn *conn, const char *why);
