/* For the tests of h2/: a client and a server connection over memory, which record their events. */
#pragma once

#include "h2/conn.h"
#include "support/memory_transport.h"

struct h2_side;

/*
 * The events of a stream on one side. `events` has a letter for each event: f field, h block, o
 * oversized block, d data, e end, r drained, c closed; a letter is not repeated next to itself.
 */
struct h2_record {
    struct cws_list node;
    struct h2_side *side;
    struct cws_h2_stream *stream; /* NULL once closed, or reset by the test */
    char events[256];
    char fields[512]; /* "name=value;" of all blocks, each followed by "|" */
    size_t data_len;
    bool data_differs; /* from fill_pattern */
    unsigned last_blocks, ends, closes;
    struct cws_h2_end end; /* `lost` only tells whether */
    char lost[240];
    bool is_reset; /* by the test: no event may come */
};

struct h2_side {
    struct cws_h2_conn *conn; /* NULL once closed */
    struct memory_end *transport;
    struct cws_list records;
    unsigned ready, room, closed;
    struct cws_error why;
    bool free_on_closed;
    void (*hook)(struct h2_record *record, char event);
    void *hook_ctx;
};

struct h2_pair {
    struct cws_loop *loop;
    size_t live;
    struct h2_side client, server;
};

/* --- events of streams --- */

static inline void h2_note(void *ctx, char event)
{
    struct h2_record *record = ctx;
    size_t n = strlen(record->events);
    assert_false(record->is_reset);
    assert_int_equal(record->closes, 0); /* it is the last one */
    if (n == 0 || record->events[n - 1] != event) {
        assert_true(n + 1 < sizeof(record->events));
        record->events[n] = event;
    }
}

static inline void h2_after(struct h2_record *record, char event)
{
    if (record->side->hook)
        record->side->hook(record, event);
}

static inline void h2_on_field(void *ctx, const char *name, size_t name_len, const char *value,
                               size_t value_len)
{
    struct h2_record *record = ctx;
    h2_note(record, 'f');
    size_t n = strlen(record->fields);
    snprintf(record->fields + n, sizeof(record->fields) - n, "%.*s=%.*s;", (int)name_len, name,
             (int)value_len, value);
    h2_after(record, 'f');
}

static inline void h2_on_block(void *ctx, bool is_last)
{
    struct h2_record *record = ctx;
    h2_note(record, 'h');
    record->last_blocks += is_last;
    size_t n = strlen(record->fields);
    snprintf(record->fields + n, sizeof(record->fields) - n, "|");
    h2_after(record, 'h');
}

static inline void h2_on_oversized(void *ctx, size_t max_header_list)
{
    struct h2_record *record = ctx;
    h2_note(record, 'o');
    assert_true(max_header_list > 0);
    h2_after(record, 'o');
}

static inline void h2_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct h2_record *record = ctx;
    h2_note(record, 'd');
    uint8_t expected[4096];
    for (size_t at = 0; at < len; at += sizeof(expected)) {
        size_t n = len - at < sizeof(expected) ? len - at : sizeof(expected);
        fill_pattern(expected, n, record->data_len + at);
        record->data_differs |= memcmp(expected, data + at, n) != 0;
    }
    record->data_len += len;
    h2_after(record, 'd');
}

static inline void h2_on_end(void *ctx)
{
    struct h2_record *record = ctx;
    h2_note(record, 'e');
    record->ends++;
    h2_after(record, 'e');
}

static inline void h2_on_drained(void *ctx)
{
    struct h2_record *record = ctx;
    h2_note(record, 'r');
    assert_int_equal(cws_h2_stream_pending(record->stream), 0);
    h2_after(record, 'r');
}

static inline void h2_on_stream_closed(void *ctx, const struct cws_h2_end *end)
{
    struct h2_record *record = ctx;
    h2_note(record, 'c');
    record->closes++;
    record->end = *end;
    if (end->lost)
        snprintf(record->lost, sizeof(record->lost), "%s", end->lost->text);
    record->stream = NULL;
    h2_after(record, 'c');
}

static const struct cws_h2_stream_events h2_stream_events = {
    .on_field = h2_on_field,
    .on_block = h2_on_block,
    .on_oversized = h2_on_oversized,
    .on_data = h2_on_data,
    .on_end = h2_on_end,
    .on_drained = h2_on_drained,
    .on_closed = h2_on_stream_closed,
};

static inline struct h2_record *h2_record_new(struct h2_side *side)
{
    struct h2_record *record = calloc(1, sizeof(*record));
    assert_non_null(record);
    record->side = side;
    cws_list_push_back(&side->records, &record->node);
    return record;
}

/* The n-th stream this side has seen, from 0. */
static inline struct h2_record *h2_nth(struct h2_side *side, size_t n)
{
    struct cws_list *node = side->records.next;
    while (node != &side->records && n--)
        node = node->next;
    assert_true(node != &side->records);
    return cws_list_entry(node, struct h2_record, node);
}

static inline size_t h2_seen(const struct h2_side *side)
{
    size_t n = 0;
    for (const struct cws_list *node = side->records.next; node != &side->records;
         node = node->next)
        n++;
    return n;
}

static inline void h2_reset(struct h2_record *record, uint32_t code)
{
    struct cws_h2_stream *stream = record->stream;
    record->stream = NULL;
    record->is_reset = true;
    cws_h2_stream_reset(stream, code);
}

/* --- events of connections --- */

static inline void h2_on_ready(void *ctx)
{
    ((struct h2_side *)ctx)->ready++;
}

static inline void h2_on_room(void *ctx)
{
    struct h2_side *side = ctx;
    side->room++;
    assert_int_equal(side->closed, 0);
}

static inline void h2_on_stream(void *ctx, struct cws_h2_stream *stream)
{
    struct h2_side *side = ctx;
    struct h2_record *record = h2_record_new(side);
    record->stream = stream;
    cws_h2_stream_set_events(stream, &h2_stream_events, record);
}

static inline void h2_on_closed(void *ctx, const struct cws_error *err)
{
    struct h2_side *side = ctx;
    side->closed++;
    side->why = *err;
    assert_int_equal(cws_h2_conn_stream_count(side->conn),
                     0); /* each stream has heard of it before */
    if (side->free_on_closed) {
        cws_h2_conn_free(side->conn);
        side->conn = NULL;
    }
}

static const struct cws_h2_conn_events h2_conn_events = {
    .on_ready = h2_on_ready,
    .on_room = h2_on_room,
    .on_stream = h2_on_stream,
    .on_closed = h2_on_closed,
};

/* --- the pair --- */

static inline void h2_side_open(struct h2_side *side, struct cws_loop *loop, enum cws_h2_role role,
                                struct memory_end *end, uint32_t max_streams, uint32_t window)
{
    struct cws_h2_conn_options options = {.max_streams = max_streams, .stream_window = window};
    *side = (struct h2_side){.transport = end, .free_on_closed = true};
    cws_list_init(&side->records);
    side->conn = cws_h2_conn_new(loop, &end->transport, role, &options, &h2_conn_events, side);
}

/* Nothing has been exchanged yet when it returns. */
static inline void h2_pair_open(struct h2_pair *pair, uint32_t max_streams, uint32_t window)
{
    struct memory_end *a, *b;
    pair->live = cws_alloc_live();
    pair->loop = loop_open();
    memory_pair(pair->loop, &a, &b);
    h2_side_open(&pair->client, pair->loop, CWS_H2_CLIENT, a, 0, window);
    h2_side_open(&pair->server, pair->loop, CWS_H2_SERVER, b, max_streams, window);
}

static inline void h2_free(struct h2_side *side)
{
    struct cws_h2_conn *conn = side->conn;
    side->conn = NULL;
    cws_h2_conn_free(conn);
}

static inline void h2_side_done(struct h2_side *side)
{
    h2_free(side);
    struct cws_list *node;
    while ((node = cws_list_pop_front(&side->records)) != NULL) {
        struct h2_record *record = cws_list_entry(node, struct h2_record, node);
        assert_int_equal(record->closes,
                         record->is_reset ? 0 : 1); /* told of the end once, or not at all */
        free(record);
    }
}

static inline void h2_pair_close(struct h2_pair *pair)
{
    h2_side_done(&pair->client);
    h2_side_done(&pair->server);
    loop_close(pair->loop);
    assert_int_equal(cws_alloc_live(), pair->live);
}

/* Bytes from a foreign peer: written raw to the far end. */
static inline void feed_raw(struct memory_end *to, const void *bytes, size_t len)
{
    assert_int_equal(cws_buf_append(&to->arriving, bytes, len), CWS_OK);
    memory_wake(to);
}

/* --- requests and bodies --- */

/* A request for `path`; NULL when the connection takes none. The record tells of its stream. */
static inline struct h2_record *h2_request(struct h2_side *client, const char *path)
{
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":method", "POST"), cws_h2_field_of(":scheme", "http"),
        cws_h2_field_of(":path", path), cws_h2_field_of(":authority", "test")};
    struct h2_record *record = h2_record_new(client);
    record->stream =
        cws_h2_conn_open(client->conn, fields, CWS_ARRAY_LEN(fields), &h2_stream_events, record);
    if (record->stream)
        return record;
    cws_list_remove(&record->node);
    free(record);
    return NULL;
}

static inline void h2_respond(struct h2_record *record)
{
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", "200")};
    assert_int_equal(cws_h2_stream_respond(record->stream, fields, 1), CWS_OK);
}

static inline void h2_finish_with(struct h2_record *record, const char *name, const char *value)
{
    struct cws_h2_field trailers[] = {cws_h2_field_of(name, value)};
    assert_int_equal(cws_h2_stream_finish_with(record->stream, trailers, 1), CWS_OK);
}

/* How a block's way ended. */
struct h2_settled {
    unsigned ok, closed;
};

static inline void h2_on_settled(struct cws_block *block, enum cws_status how)
{
    struct h2_settled *settled = block->owner;
    assert_true(how == CWS_OK || how == CWS_CLOSED);
    if (how == CWS_OK)
        settled->ok++;
    else
        settled->closed++;
    cws_free(block);
}

/* The pattern's bytes from `at` on, as one block. `settled` may be NULL. */
static inline void h2_send(struct h2_record *record, size_t at, size_t len,
                           struct h2_settled *settled)
{
    struct cws_block *block = cws_block_new(len);
    assert_non_null(block);
    fill_pattern(block->data, len, at);
    if (settled) {
        block->settled = h2_on_settled;
        block->owner = settled;
    }
    cws_h2_stream_send(record->stream, block);
}

static inline void h2_send_all(struct h2_record *record, size_t len, size_t piece,
                               struct h2_settled *settled)
{
    for (size_t at = 0; at < len; at += piece)
        h2_send(record, at, len - at < piece ? len - at : piece, settled);
}
