/* What conn.c, input.c and stream.c share. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "h2/conn.h"
#include "h2/stream_state.h"

struct cws_h2_conn {
    struct cws_loop *loop;
    struct cws_transport *transport; /* NULL once it is down */
    nghttp2_session *session;
    enum cws_h2_role role;
    const struct cws_h2_conn_events *events;
    void *ctx;

    struct cws_list streams;
    size_t stream_count;
    uint64_t arrivals; /* how often bytes have arrived */
    uint32_t stream_window;
    uint32_t peer_max_streams;
    size_t max_header_list;
    int32_t last_taken; /* server: the newest stream that its owner has taken */
    int32_t last_begun; /* server: the newest stream */
    int32_t begun;      /* server: how many there have been */
    struct cws_deferred flush;
    bool flush_wanted;
    bool in_session; /* inside mem_recv / mem_send */
    bool ready;      /* the peer's SETTINGS are in */
    bool draining;   /* GOAWAY sent or received */
    bool doubted;    /* nothing has arrived since cws_h2_conn_doubt */
    bool room_changed;
    bool output_broken; /* the transport takes no more; its on_closed is still to come */
    bool failed;        /* `why` is set; the next flush reports the end */
    bool expelled;      /* it failed because the peer demanded too much */
    struct cws_error why;
};

struct cws_h2_stream {
    struct cws_list node;
    struct cws_h2_conn *conn;
    const struct cws_h2_stream_events *events; /* NULL once we have reset it: nobody listens */
    void *ctx;
    int32_t id;
    uint32_t window;       /* our receive window for it */
    uint64_t delivered;    /* bytes received since the window was last raised */
    size_t block_size;     /* size of the fields received in this block, as HTTP/2 counts it */
    struct cws_list queue; /* blocks to send */
    size_t pending;        /* bytes in them */
    nghttp2_nv *trailers;  /* from cws_malloc; the texts are in the same memory, after the array */
    size_t trailer_count;
    enum cws_h2_sending sending;
    enum cws_h2_receiving receiving;
    bool headers_sent; /* client: the request's HEADERS have been given to the transport */
    bool manual_credit;
};

/* Makes sure that a flush happens before the loop next waits. */
void cws_h2_conn_want_flush(struct cws_h2_conn *conn);
/* Marks the connection as broken; the next flush tells everyone. The first reason is kept. */
void cws_h2_conn_fail(struct cws_h2_conn *conn, enum cws_status status, const char *fmt, ...)
    CWS_PRINTF(3, 4);

/* Sets nghttp2's callbacks to those of input.c. */
void cws_h2_input_set_callbacks(nghttp2_session_callbacks *callbacks);

struct cws_h2_stream *cws_h2_stream_new(struct cws_h2_conn *conn, int32_t id);
/* Settles what is queued, calls on_closed if anyone listens, and frees the stream. */
void cws_h2_stream_close(struct cws_h2_stream *stream, const struct cws_h2_end *end);
/* The data provider from which nghttp2 takes the stream's body. */
nghttp2_data_provider cws_h2_stream_provider(struct cws_h2_stream *stream);
/* Converts the fields to nghttp2's form. `out` has room for `count`; the texts are not copied. */
void cws_h2_fields_to_nv(const struct cws_h2_field *fields, size_t count, nghttp2_nv *out);
