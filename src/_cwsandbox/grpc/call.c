#include "grpc/call.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/channel_private.h"

/* A peer that keeps refusing streams is overloaded: the caller is told instead of being kept for
 * ever. */
enum { MAX_ATTEMPTS = 10 };

#ifndef CWS_VERSION /* given by the build */
#define CWS_VERSION "0+unknown"
#endif
#define USER_AGENT "cwsandbox-c/" CWS_VERSION

/* ---- the end -------------------------------------------------------------------------------- */

/* No event handler of the call is on the stack any more: its memory may go. */
static void leave(struct cws_call *call)
{
    if (--call->busy == 0 && call->ended) {
        cws_frame_reader_done(&call->reader);
        cws_grpc_status_done(&call->status);
        cws_free(call);
    }
}

static void settle_first(struct cws_call *call, enum cws_status how)
{
    struct cws_block *block = call->first;
    if (!block)
        return;
    call->first = NULL;
    block->settled = call->first_settled;
    block->owner = call->first_owner;
    cws_block_settle(block, how);
}

/* Takes the call out of everything it is in. Queued messages are settled; no event comes after
 * it. */
static void detach(struct cws_call *call, uint32_t reset_code)
{
    call->ended = true;
    cws_timer_cancel(call->channel->loop, &call->deadline);
    cws_timer_cancel(call->channel->loop, &call->retry);
    if (!cws_list_is_empty(&call->node) && !call->is_set_aside)
        call->channel->queued--;
    cws_list_remove(&call->node);
    call->is_set_aside = false;
    if (call->stream) {
        struct cws_h2_stream *stream = call->stream;
        call->stream = NULL;
        cws_h2_stream_reset(stream, reset_code);
    }
    settle_first(call, call->committed ? CWS_OK : CWS_CLOSED);
    if (call->is_long)
        call->channel->long_calls--;
    struct cws_list *node;
    while ((node = cws_list_pop_front(&call->unsent)) != NULL)
        cws_block_settle(cws_list_entry(node, struct cws_block, node), CWS_CLOSED);
    call->channel->call_count--;
    cws_channel_unref(call->otherwise);
    call->otherwise = NULL;
}

/* Ends the call with call->status. The caller is between call->busy++ and leave. */
static void conclude(struct cws_call *call, uint32_t reset_code)
{
    if (call->ended)
        return;
    detach(call, reset_code);
    call->events->on_status(call->ctx, &call->status);
}

static void conclude_local(struct cws_call *call, int code, const char *text)
{
    cws_grpc_status_set(&call->status, code, "%s", text);
    conclude(call, CWS_H2_CANCEL);
}

void cws_call_end(struct cws_call *call)
{
    call->busy++;
    conclude(call, CWS_H2_CANCEL);
    leave(call);
}

static void deadline_exceeded(struct cws_call *call)
{
    conclude_local(call, CWS_GRPC_DEADLINE_EXCEEDED, "Deadline Exceeded");
}

static void on_deadline(struct cws_timer *timer)
{
    struct cws_call *call = cws_container_of(timer, struct cws_call, deadline);
    call->busy++;
    cws_call_suspect(call);
    deadline_exceeded(call);
    leave(call);
}

bool cws_call_is_open(const struct cws_call *call)
{
    return call->stream != NULL;
}

const char *cws_call_path(const struct cws_call *call)
{
    return call->path;
}

void cws_call_suspect(struct cws_call *call)
{
    if (call->stream && cws_h2_conn_arrivals(call->connection->conn) == call->arrivals_before)
        cws_liveness_suspect(call->connection);
}

void cws_call_fail_unavailable(struct cws_call *call, const struct cws_error *err)
{
    if (call->otherwise) {
        cws_call_go_otherwise(call);
        return;
    }
    cws_grpc_status_set(&call->status, CWS_GRPC_UNAVAILABLE, "%s", err->text);
    if (call->refused && err->status != CWS_NO_MEMORY)
        cws_call_set_aside(call);
    else
        cws_call_end(call);
}

void cws_call_cancel(struct cws_call *call)
{
    call->busy++;
    if (!call->ended)
        detach(call, CWS_H2_CANCEL);
    leave(call);
}

/* ---- what comes back ------------------------------------------------------------------------ */

static void add_details(struct cws_call *call, const char *value, size_t len)
{
    /* Several values may stand in one field, joined by commas. One that is malformed is skipped. */
    while (len) {
        const char *comma = memchr(value, ',', len);
        size_t part = comma ? (size_t)(comma - value) : len;
        struct cws_buf bytes;
        cws_buf_init(&bytes, 256 * 1024);
        if (cws_base64_decode(value, part, &bytes) == CWS_OK && bytes.len)
            (void)!cws_grpc_status_add_details(&call->status, cws_buf_bytes(&bytes), bytes.len);
        cws_buf_done(&bytes);
        len -= comma ? part + 1 : part;
        value += comma ? part + 1 : part;
    }
}

static int parse_number(const char *text, size_t len)
{
    int number = 0;
    if (len == 0 || len > 8)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

static bool is_named(const char *name, size_t len, const char *literal)
{
    return strlen(literal) == len && memcmp(name, literal, len) == 0;
}

static void on_field(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    struct cws_call *call = ctx;
    if (is_named(name, name_len, ":status")) {
        call->http_status = parse_number(value, value_len);
    } else if (is_named(name, name_len, "content-type")) {
        static const char grpc[] = "application/grpc";
        call->grpc_content =
            value_len >= sizeof(grpc) - 1 && memcmp(value, grpc, sizeof(grpc) - 1) == 0;
    } else if (is_named(name, name_len, "grpc-status")) {
        int code = parse_number(value, value_len);
        call->status.code = code >= 0 ? code : CWS_GRPC_UNKNOWN;
        call->seen_status = true;
    } else if (is_named(name, name_len, "grpc-message")) {
        cws_free(call->status.message);
        call->status.message = cws_percent_decode(value, value_len);
    } else if (is_named(name, name_len, "grpc-status-details-bin")) {
        add_details(call, value, value_len);
    } else if (call->events->on_header && !call->committed) {
        call->events->on_header(call->ctx, name, name_len, value, value_len);
    }
}

/* Only the block that ends the stream can say how the call has ended. */
static void on_block(void *ctx, bool is_last)
{
    struct cws_call *call = ctx;
    if (is_last && cws_call_was_refused(call))
        return;
    if (is_last)
        call->has_status = call->seen_status;
    else
        cws_grpc_status_done(&call->status);
    call->seen_status = false;
    call->busy++;
    call->committed = true;
    settle_first(call, CWS_OK);
    if (!call->ended && !call->has_status && (call->http_status != 200 || !call->grpc_content)) {
        int code = call->http_status == 200 ? CWS_GRPC_UNKNOWN
                                            : (int)cws_grpc_code_from_http(call->http_status);
        char text[96];
        if (call->http_status == 200)
            snprintf(text, sizeof(text),
                     "the peer's answer is not gRPC (its content-type is another)");
        else
            snprintf(text, sizeof(text), "the peer answered with HTTP status %d",
                     call->http_status);
        conclude_local(call, code, text);
    }
    leave(call);
}

static void on_oversized(void *ctx, size_t max_header_list)
{
    struct cws_call *call = ctx;
    char text[96];
    snprintf(text, sizeof(text), "the peer's headers are larger than %zu bytes", max_header_list);
    call->busy++;
    conclude_local(call, CWS_GRPC_RESOURCE_EXHAUSTED, text);
    leave(call);
}

static void too_large(struct cws_call *call)
{
    cws_grpc_status_set(&call->status, CWS_GRPC_RESOURCE_EXHAUSTED,
                        "CLIENT: Received message larger than max (%u vs. %zu)", call->reader.need,
                        call->reader.max_message);
    conclude(call, CWS_H2_CANCEL);
}

static bool wants_pieces(struct cws_frame_reader *reader, const uint8_t *start, size_t len,
                         size_t message_len)
{
    struct cws_call *call = cws_container_of(reader, struct cws_call, reader);
    return call->events->on_begun(call->ctx, start, len, message_len);
}

/* Returns to the peer's window the bytes that nobody holds. */
static void pay(struct cws_call *call)
{
    if (!call->stream || call->unpaid <= call->held)
        return;
    cws_h2_stream_consume(call->stream, call->unpaid - call->held);
    call->unpaid = call->held;
}

void cws_call_set_held(struct cws_call *call, size_t held)
{
    assert(call->holds_back);
    call->held = held;
    if (call->busy == 0) /* else it is one of many such calls for the same data */
        pay(call);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_call *call = ctx;
    call->busy++;
    if (call->holds_back)
        call->unpaid += len;
    while (!call->ended) {
        const uint8_t *message;
        size_t message_len;
        enum cws_status status = cws_frame_next(&call->reader, &data, &len, &message, &message_len);
        if (status == CWS_TOO_LARGE)
            too_large(call);
        else if (status == CWS_PROTOCOL)
            conclude_local(call, CWS_GRPC_INTERNAL,
                           "the peer sent a compressed message, which was not offered");
        else if (status != CWS_OK)
            conclude_local(call, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a message");
        else if (!message)
            break;
        else if (call->reader.in_pieces)
            call->events->on_piece(call->ctx, message, message_len);
        else
            call->events->on_message(call->ctx, message, message_len);
    }
    if (call->holds_back)
        pay(call);
    leave(call);
}

/* The stream is over and no status was given to the caller yet. */
static void conclude_ended(struct cws_call *call, const struct cws_h2_end *end)
{
    if (call->has_status) {
        if (call->status.code == CWS_GRPC_OK && cws_frame_is_partial(&call->reader))
            cws_grpc_status_set(&call->status, CWS_GRPC_INTERNAL,
                                "the stream ended inside a message");
    } else if (cws_clock_now_ns() >= call->deadline_ns) {
        /* The peer's own timer was quicker than ours. */
        cws_grpc_status_set(&call->status, CWS_GRPC_DEADLINE_EXCEEDED, "Deadline Exceeded");
    } else if (end && end->lost) {
        cws_grpc_status_set(&call->status, CWS_GRPC_UNAVAILABLE, "connection lost: %s",
                            end->lost->text);
    } else if (end && end->code != CWS_H2_NO_ERROR && !end->reset && !end->unprocessed) {
        cws_grpc_status_set(&call->status, (int)cws_grpc_code_from_h2(end->code),
                            "the peer's answer is against HTTP/2 (error code %u)", end->code);
    } else if (end && end->code != CWS_H2_NO_ERROR) {
        cws_grpc_status_set(&call->status, (int)cws_grpc_code_from_h2(end->code),
                            "the peer reset the stream with HTTP/2 error code %u", end->code);
    } else {
        cws_grpc_status_set(&call->status, CWS_GRPC_INTERNAL,
                            "the peer ended the stream without a status");
    }
    conclude(call, CWS_H2_NO_ERROR);
}

static void on_end(void *ctx)
{
    struct cws_call *call = ctx;
    call->busy++;
    conclude_ended(call, NULL);
    leave(call);
}

/* ---- sending again what the peer did not process -------------------------------------------- */

static void on_retry_due(struct cws_timer *timer)
{
    struct cws_call *call = cws_container_of(timer, struct cws_call, retry);
    cws_pool_enqueue(call->channel, call, true);
}

static bool may_retry(const struct cws_call *call, const struct cws_h2_end *end)
{
    return end->unprocessed && !call->committed && !call->sent_more && !call->ended &&
           call->attempts < MAX_ATTEMPTS && cws_clock_now_ns() < call->deadline_ns;
}

static bool send_again(struct cws_call *call)
{
    cws_call_requeue_first(call);
    if (call->attempts < 2) {
        cws_pool_enqueue(call->channel, call, true);
        return true;
    }
    uint64_t pause = CWS_NS_PER_MS << call->attempts; /* 4 ms … 1 s */
    return cws_timer_set(call->channel->loop, &call->retry, cws_clock_now_ns() + pause) == CWS_OK;
}

static void on_stream_closed(void *ctx, const struct cws_h2_end *end)
{
    struct cws_call *call = ctx;
    call->stream = NULL;
    call->busy++;
    if (!may_retry(call, end) || !send_again(call))
        conclude_ended(call, end);
    leave(call);
}

static const struct cws_h2_stream_events stream_events = {
    .on_field = on_field,
    .on_block = on_block,
    .on_oversized = on_oversized,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_stream_closed,
};

/* ---- going out ------------------------------------------------------------------------------ */

enum { OWN_FIELDS = 9 };

/* `are_new`: the values are those of one call, which would only fill the peer's table. */
static size_t metadata_fields(const struct cws_metadata *metadata, bool are_new,
                              struct cws_h2_field *fields)
{
    for (size_t i = 0; i < metadata->count; i++) {
        const struct cws_metadata_field *field = &metadata->fields[i];
        fields[i] = (struct cws_h2_field){
            .name = field->name,
            .name_len = field->name_len,
            .value = field->value,
            .value_len = field->value_len,
            .no_index = are_new,
        };
    }
    return metadata->count;
}

/* `left_ns`: until its deadline, CWS_NO_DEADLINE without one. */
static size_t request_fields(const struct cws_call *call, uint64_t left_ns, char timeout[16],
                             struct cws_h2_field *fields)
{
    const struct cws_channel *channel = call->channel;
    size_t n = 0;
    fields[n++] = cws_h2_field_of(":method", "POST");
    fields[n++] = cws_h2_field_of(":scheme", channel->target.tls ? "https" : "http");
    fields[n++] = cws_h2_field_of(":path", call->path);
    fields[n++] = cws_h2_field_of(":authority", channel->target.authority);
    fields[n++] = cws_h2_field_of("te", "trailers");
    fields[n++] = cws_h2_field_of("content-type", "application/grpc");
    fields[n++] = cws_h2_field_of("user-agent", USER_AGENT);
    fields[n++] = cws_h2_field_of("grpc-accept-encoding", "identity");
    if (left_ns != CWS_NO_DEADLINE) {
        cws_timeout_format(left_ns, timeout);
        fields[n] = cws_h2_field_of("grpc-timeout", timeout);
        fields[n++].no_index = true;
    }
    n += metadata_fields(&channel->metadata, false, fields + n);
    if (call->metadata)
        n += metadata_fields(call->metadata, true, fields + n);
    return n;
}

/* The first message has left or was dropped: kept until the peer has answered, it may be needed
 * again. */
static void on_first_settled(struct cws_block *block, enum cws_status how)
{
    struct cws_call *call = block->owner;
    (void)how;
    call->first = block;
    if (call->committed || call->ended)
        settle_first(call, call->committed ? CWS_OK : CWS_CLOSED);
}

static void pass_unsent(struct cws_call *call)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&call->unsent)) != NULL) {
        struct cws_block *block = cws_list_entry(node, struct cws_block, node);
        if (block->settled != on_first_settled)
            call->sent_more = true;
        cws_h2_stream_send(call->stream, block);
    }
    if (call->half_closed)
        cws_h2_stream_finish(call->stream);
}

static uint64_t time_left_ns(const struct cws_call *call)
{
    if (call->deadline_ns == CWS_NO_DEADLINE)
        return CWS_NO_DEADLINE;
    uint64_t now_ns = cws_clock_now_ns();
    return call->deadline_ns > now_ns ? call->deadline_ns - now_ns : 0;
}

static void watch_if_long(struct cws_call *call, uint64_t left_ns)
{
    if (left_ns <= call->channel->ping_interval_ns)
        return; /* its deadline comes first */
    if (!call->is_long)
        call->channel->long_calls++;
    call->is_long = true;
    cws_liveness_watch(call->channel);
}

/* A call that asks for nothing: there is a connection. */
static bool conclude_connected(struct cws_call *call)
{
    call->busy++;
    cws_grpc_status_done(&call->status);
    conclude(call, CWS_H2_NO_ERROR);
    leave(call);
    return true;
}

bool cws_call_open(struct cws_call *call, struct cws_pool_connection *connection)
{
    if (!call->path)
        return conclude_connected(call);
    struct cws_h2_conn *conn = connection->conn;
    struct cws_h2_field fields[OWN_FIELDS + CWS_METADATA_MAX_FIELDS + CWS_CALL_MAX_FIELDS];
    char timeout[16];
    uint64_t left_ns = time_left_ns(call);
    size_t count = request_fields(call, left_ns, timeout, fields);
    call->http_status = 0;
    call->stream = cws_h2_conn_open(conn, fields, count, &stream_events, call);
    if (!call->stream)
        return false;
    call->connection = connection;
    call->arrivals_before = cws_h2_conn_arrivals(conn);
    watch_if_long(call, left_ns);
    if (call->holds_back)
        cws_h2_stream_set_manual_credit(call->stream, true);
    call->unpaid = 0;
    call->attempts++;
    call->busy++;
    pass_unsent(call);
    if (call->events->on_open)
        call->events->on_open(call->ctx);
    leave(call);
    return true;
}

struct cws_call *cws_call_start(struct cws_channel *channel, const struct cws_call_options *options,
                                const struct cws_call_events *events, void *ctx)
{
    assert(cws_loop_is_current(channel->loop));
    assert(!options->metadata || options->metadata->count <= CWS_CALL_MAX_FIELDS);
    struct cws_call *call = cws_calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->channel = channel;
    call->path = options->path;
    call->otherwise_path = options->otherwise_path;
    call->is_refusal = options->is_refusal;
    call->refused = options->refused;
    call->owner = options->owner;
    call->metadata = options->metadata;
    call->deadline_ns = options->deadline_ns;
    call->holds_back = options->holds_back;
    call->events = events;
    call->ctx = ctx;
    cws_list_init(&call->node);
    cws_list_init(&call->unsent);
    cws_timer_init(&call->deadline, on_deadline);
    cws_timer_init(&call->retry, on_retry_due);
    cws_frame_reader_init(&call->reader, channel->max_receive);
    call->reader.wants_pieces = events->on_begun ? wants_pieces : NULL;
    if (cws_timer_set(channel->loop, &call->deadline, call->deadline_ns) != CWS_OK) {
        cws_free(call);
        return NULL;
    }
    if (options->otherwise) {
        cws_channel_ref(options->otherwise);
        call->otherwise = options->otherwise;
    }
    channel->call_count++;
    cws_pool_enqueue(channel, call, false);
    return call;
}

void cws_call_send(struct cws_call *call, struct cws_block *message)
{
    assert(message->len >= CWS_FRAME_PREFIX && !call->half_closed);
    cws_frame_prefix(message->data, cws_block_size(message) - CWS_FRAME_PREFIX);
    if (!call->has_first) {
        call->has_first = true;
        call->first_settled = message->settled;
        call->first_owner = message->owner;
        message->settled = on_first_settled;
        message->owner = call;
    }
    cws_list_push_back(&call->unsent, &message->node);
    if (call->stream)
        pass_unsent(call);
}

void cws_call_half_close(struct cws_call *call)
{
    if (call->half_closed)
        return;
    call->half_closed = true;
    if (call->stream)
        cws_h2_stream_finish(call->stream);
}
