/* For the tests of the server role: a cws_server on one end of a connection in memory, an HTTP/2
 * client on the other. */
#pragma once

#include "support/grpc_peer.h"
#include "support/h2_peer.h"

/* The window each request starts with (server.c). */
#define REQUEST_WINDOW ((size_t)256 << 10)

struct server_bed {
    struct cws_loop *loop;
    size_t live;
    struct service service;
    struct cws_server *server;
    struct h2_side client;
    struct memory_end *far; /* the server's end */
};

static inline void bed_connect(struct server_bed *bed, const struct memory_shape *shape)
{
    struct memory_end *near;
    memory_pair(bed->loop, &near, &bed->far);
    memory_set_shape(near, shape);
    memory_set_shape(bed->far, shape);
    h2_side_open(&bed->client, bed->loop, CWS_H2_CLIENT, near, 0, 0);
    cws_server_accept(bed->server, &bed->far->transport);
    settle(bed->loop);
}

static inline void bed_open_with(struct server_bed *bed, const struct cws_server_options *options,
                                 const struct memory_shape *shape)
{
    bed->live = cws_alloc_live();
    bed->loop = loop_open();
    service_init(&bed->service);
    bed->server = service_server(&bed->service, bed->loop, options);
    assert_non_null(bed->server);
    bed_connect(bed, shape);
}

static inline void bed_open(struct server_bed *bed)
{
    bed_open_with(bed, NULL, &MEMORY_SHAPES[0]);
}

static inline void bed_close(struct server_bed *bed)
{
    cws_server_free(bed->server);
    settle(bed->loop);
    h2_side_done(&bed->client);
    service_done(&bed->service);
    loop_close(bed->loop);
    assert_int_equal(cws_alloc_live(), bed->live);
}

/* --- requests --- */

static inline struct h2_record *bed_request(struct server_bed *bed, const char *path,
                                            const char *name, const char *value)
{
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":method", "POST"),
        cws_h2_field_of(":scheme", "http"),
        cws_h2_field_of(":path", path),
        cws_h2_field_of(":authority", "test"),
        cws_h2_field_of("content-type", "application/grpc"),
        cws_h2_field_of(name ? name : "te", name ? value : "trailers"),
    };
    struct h2_record *record = h2_record_new(&bed->client);
    record->stream = cws_h2_conn_open(bed->client.conn, fields, CWS_ARRAY_LEN(fields),
                                      &h2_stream_events, record);
    assert_non_null(record->stream);
    return record;
}

static inline void send_bytes(struct h2_record *record, const void *bytes, size_t len)
{
    struct cws_block *block = cws_block_new(len);
    assert_non_null(block);
    memcpy(block->data, bytes, len);
    cws_h2_stream_send(record->stream, block);
}

/* One message of `len` bytes of the pattern. */
static inline void send_message(struct h2_record *record, size_t len)
{
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    assert_non_null(block);
    cws_frame_prefix(block->data, len);
    fill_pattern(block->data + CWS_FRAME_PREFIX, len, 0);
    cws_h2_stream_send(record->stream, block);
}

static inline void assert_says(const struct h2_record *record, const char *text)
{
    if (!strstr(record->fields, text))
        fail_msg("'%s' is not in '%s'", text, record->fields);
}
