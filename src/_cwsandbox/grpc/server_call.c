#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "grpc/metadata.h"
#include "grpc/server_private.h"
#include "io/timer.h"

struct cws_server_call {
    struct cws_server *server;
    struct cws_server_connection *connection; /* lives as long as `stream` */
    const struct cws_server_method *method;   /* NULL until its path is known */
    struct cws_h2_stream *stream;             /* NULL once it is gone */
    void *user;
    struct cws_buf headers; /* name NUL value NUL … */
    struct cws_frame_reader reader;
    struct cws_claim claim; /* of a large message */
    size_t withheld;        /* window that is given back once the claim is granted */
    size_t early_credit;    /* window given back before the method was handed the message */
    uint64_t deadline_ns;
    struct cws_timer deadline;
    enum cws_grpc_code code;                /* what it was finished with */
    const char *http_status;                /* of an answer that is a status alone */
    const char *header_name, *header_value; /* the method's own of the answer; NULL: none */
    bool got_headers;
    bool no_memory;  /* a header is missing for that */
    bool not_grpc;   /* answered at its end */
    bool responded;  /* our HEADERS are out */
    bool incomplete; /* a message could not be queued: the answer must not end well */
    bool finished;   /* our trailers are out or queued */
    bool started;    /* `start` was called: `closed` is owed */
    bool closed;     /* freed once busy is 0 */
    unsigned busy;   /* events under way */
};

/* ---- the end -------------------------------------------------------------------------------- */

static void leave(struct cws_server_call *call)
{
    if (--call->busy || !call->closed)
        return;
    cws_buf_done(&call->headers);
    cws_frame_reader_done(&call->reader);
    cws_free(call);
}

static void conclude(struct cws_server_call *call, enum cws_grpc_code why)
{
    if (call->closed)
        return;
    call->closed = true;
    call->server->call_count--;
    cws_timer_cancel(call->server->loop, &call->deadline);
    cws_claim_end(&call->claim);
    if (call->started)
        call->method->closed(call, why);
}

static enum cws_status respond(struct cws_server_call *call)
{
    struct cws_h2_field fields[3];
    size_t n = 0;
    if (call->responded)
        return CWS_OK;
    fields[n++] = cws_h2_field_of(":status", "200");
    fields[n++] = cws_h2_field_of("content-type", "application/grpc");
    if (call->header_name)
        fields[n++] = cws_h2_field_of(call->header_name, call->header_value);
    enum cws_status status = cws_h2_stream_respond(call->stream, fields, n);
    call->responded = status == CWS_OK;
    return status;
}

static enum cws_status send_status(struct cws_server_call *call, enum cws_grpc_code code,
                                   const char *message, const char *details)
{
    struct cws_h2_field fields[5];
    char number[8];
    size_t n = 0;
    snprintf(number, sizeof(number), "%d", (int)code);
    if (!call->responded) { /* trailers-only */
        fields[n++] = cws_h2_field_of(":status", call->http_status);
        fields[n++] = cws_h2_field_of("content-type", "application/grpc");
    }
    fields[n++] = cws_h2_field_of("grpc-status", number);
    if (message)
        fields[n++] = cws_h2_field_of("grpc-message", message);
    if (details)
        fields[n++] = cws_h2_field_of("grpc-status-details-bin", details);
    return call->responded ? cws_h2_stream_finish_with(call->stream, fields, n)
                           : cws_h2_stream_respond_only(call->stream, fields, n);
}

void cws_server_call_finish(struct cws_server_call *call, enum cws_grpc_code code,
                            const char *message, const uint8_t *details, size_t details_len)
{
    if (call->finished || call->closed)
        return;
    if (call->incomplete) {
        code = CWS_GRPC_RESOURCE_EXHAUSTED;
        message = "out of memory for an answer";
    }
    call->finished = true;
    call->code = code;
    cws_timer_cancel(call->server->loop, &call->deadline);
    char *encoded = message && *message ? cws_percent_encode(message, strlen(message)) : NULL;
    char *base64 = details_len ? cws_base64_encode(details, details_len, false) : NULL;
    if (send_status(call, code, encoded, base64) != CWS_OK) {
        struct cws_h2_stream *stream = call->stream;
        call->stream = NULL;
        cws_h2_stream_reset(stream, CWS_H2_INTERNAL_ERROR);
        call->busy++;
        conclude(call, CWS_GRPC_RESOURCE_EXHAUSTED);
        leave(call);
    }
    cws_free(encoded);
    cws_free(base64);
}

static void on_deadline(struct cws_timer *timer)
{
    struct cws_server_call *call = cws_container_of(timer, struct cws_server_call, deadline);
    call->busy++;
    cws_server_call_finish(call, CWS_GRPC_DEADLINE_EXCEEDED, "deadline exceeded", NULL, 0);
    conclude(call, CWS_GRPC_DEADLINE_EXCEEDED);
    /* The stream lives on until the status is out; nobody listens to it any more. */
    if (call->stream)
        cws_h2_stream_set_events(call->stream, NULL, NULL);
    call->stream = NULL;
    leave(call);
}

/* ---- the request's headers ------------------------------------------------------------------ */

const char *cws_server_call_header(const struct cws_server_call *call, const char *name)
{
    if (call->headers.len == 0)
        return NULL;
    const char *at = (const char *)cws_buf_bytes(&call->headers);
    const char *end = at + call->headers.len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

static void on_field(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    struct cws_server_call *call = ctx;
    if (call->got_headers || memchr(name, 0, name_len) || memchr(value, 0, value_len))
        return; /* request trailers mean nothing in gRPC */
    uint8_t *to;
    if (cws_buf_reserve(&call->headers, name_len + value_len + 2, &to) != CWS_OK) {
        call->no_memory = true;
        return;
    }
    memcpy(to, name, name_len);
    to[name_len] = '\0';
    memcpy(to + name_len + 1, value, value_len);
    to[name_len + 1 + value_len] = '\0';
    cws_buf_commit(&call->headers, name_len + value_len + 2);
}

static const struct cws_server_method *find_method(const struct cws_server *server,
                                                   const char *path)
{
    for (size_t i = 0; i < server->method_count; i++)
        if (strcmp(server->methods[i].path, path) == 0)
            return &server->methods[i];
    return NULL;
}

static void refuse(struct cws_server_call *call, enum cws_grpc_code code, const char *message)
{
    cws_server_call_finish(call, code, message, NULL, 0);
}

static bool read_timeout(struct cws_server_call *call)
{
    const char *text = cws_server_call_header(call, "grpc-timeout");
    uint64_t left_ns;
    if (!text)
        return true;
    if (!cws_timeout_parse(text, &left_ns))
        return false;
    uint64_t now = cws_clock_now_ns();
    call->deadline_ns = left_ns < CWS_NO_DEADLINE - now ? now + left_ns : CWS_NO_DEADLINE;
    return true;
}

/* To a client that may know nothing of gRPC: it would take a status of 200 for success, and an
 * answer before the end of its request for a failure. */
static void refuse_other_protocol(struct cws_server_call *call)
{
    static const char text[] = "This is a gRPC service: content-type must be application/grpc.\n";
    const struct cws_h2_field fields[] = {
        cws_h2_field_of(":status", "415"),
        cws_h2_field_of("content-type", "text/plain; charset=utf-8"),
    };
    struct cws_block *block = cws_block_new(strlen(text));
    if (!block || cws_h2_stream_respond(call->stream, fields, CWS_ARRAY_LEN(fields)) != CWS_OK) {
        cws_free(block);
        refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    memcpy(block->data, text, strlen(text));
    call->responded = call->finished = true;
    call->code = CWS_GRPC_UNKNOWN;
    cws_h2_stream_send(call->stream, block);
    cws_h2_stream_finish(call->stream);
}

static bool is_admitted(struct cws_server_call *call)
{
    struct cws_server *server = call->server;
    if (call->no_memory) {
        refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for the headers");
        return false;
    }
    if (server->admit && !server->admit(call, server->ctx))
        return false;
    cws_server_connection_trust(call->connection);
    return true;
}

static void begin(struct cws_server_call *call)
{
    const char *path = cws_server_call_header(call, ":path");
    const char *type = cws_server_call_header(call, "content-type");
    char text[256];
    if (!call->no_memory && (!path || !type || strncmp(type, "application/grpc", 16) != 0)) {
        call->not_grpc = true;
        return;
    }
    if (!is_admitted(call))
        return;
    call->method = find_method(call->server, path);
    if (!call->method) {
        snprintf(text, sizeof(text), "unknown method %s", path);
        refuse(call, CWS_GRPC_UNIMPLEMENTED, text);
        return;
    }
    if (!read_timeout(call)) {
        refuse(call, CWS_GRPC_INTERNAL, "malformed grpc-timeout");
        return;
    }
    if (call->method->manual_credit)
        cws_h2_stream_set_manual_credit(call->stream, true);
    if (cws_timer_set(call->server->loop, &call->deadline, call->deadline_ns) != CWS_OK) {
        refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    call->started = true;
    call->method->start(call, call->server->ctx);
}

/* ---- the stream's events -------------------------------------------------------------------- */

static void on_block(void *ctx, bool is_last)
{
    struct cws_server_call *call = ctx;
    (void)is_last;
    if (call->got_headers)
        return;
    call->got_headers = true;
    call->busy++;
    begin(call);
    cws_buf_done(&call->headers);
    leave(call);
}

/* HTTP's own status for it, next to gRPC's: clients of either kind understand the answer. */
static void on_oversized(void *ctx, size_t max_header_list)
{
    struct cws_server_call *call = ctx;
    char text[96];
    snprintf(text, sizeof(text), "the request's headers are larger than %zu bytes",
             max_header_list);
    call->busy++;
    if (!call->responded)
        call->http_status = "431";
    call->got_headers = true;
    cws_buf_done(&call->headers);
    refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, text);
    leave(call);
}

static void message_failed(struct cws_server_call *call, enum cws_status status)
{
    char text[128];
    if (status == CWS_TOO_LARGE) {
        snprintf(text, sizeof(text), "SERVER: Received message larger than max (%u vs. %zu)",
                 call->reader.need, call->reader.max_message);
        refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, text);
    } else if (status == CWS_PROTOCOL) {
        refuse(call, CWS_GRPC_UNIMPLEMENTED, "compressed messages are not supported");
    } else {
        refuse(call, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a message");
    }
}

static void on_granted(struct cws_claim *claim)
{
    struct cws_server_call *call = cws_container_of(claim, struct cws_server_call, claim);
    if (!call->stream)
        return;
    cws_h2_stream_set_manual_credit(call->stream, call->method->manual_credit);
    cws_h2_stream_consume(call->stream, call->withheld);
    call->withheld = 0;
}

/* A message has begun, or goes on, that does not fit into the window. While there is no room for
 * all of it, the window stays closed. */
static void claim_room(struct cws_server_call *call)
{
    if (call->claim.allowance || !cws_frame_is_partial(&call->reader) ||
        call->reader.need <= CWS_SERVER_REQUEST_WINDOW)
        return;
    size_t len = call->reader.need;
    if (len > CWS_SERVER_LARGE_REQUESTS) /* then it is alone */
        len = CWS_SERVER_LARGE_REQUESTS;
    cws_claim_more(&call->claim, &call->connection->requests, len);
    if (cws_claim_waits(&call->claim))
        cws_h2_stream_set_manual_credit(call->stream, true);
}

/* A method with manual credit returns the window for what it was given, message by message. The
 * window for prefixes is returned at once. So is what an unfinished message takes beyond half the
 * window; otherwise a message larger than the window could never arrive. The rest is not returned,
 * or a client could send ahead without limit. */
static size_t given_early(size_t partial_len)
{
    return partial_len > CWS_SERVER_REQUEST_WINDOW / 2 ? partial_len - CWS_SERVER_REQUEST_WINDOW / 2
                                                       : 0;
}

static void settle_credit(struct cws_server_call *call, size_t received, size_t delivered,
                          size_t partial_before)
{
    size_t partial = cws_frame_partial_len(&call->reader);
    size_t prefixes = received + partial_before - delivered - partial;
    size_t early = given_early(partial) - (delivered ? 0 : given_early(partial_before));
    if (cws_claim_waits(&call->claim))
        call->withheld += prefixes + early;
    else
        cws_h2_stream_consume(call->stream, prefixes + early);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_server_call *call = ctx;
    size_t received = len;
    size_t delivered = 0;
    size_t partial_before = cws_frame_partial_len(&call->reader);
    call->busy++;
    while (!call->closed && !call->finished && call->started) {
        const uint8_t *message;
        size_t message_len;
        enum cws_status status = cws_frame_next(&call->reader, &data, &len, &message, &message_len);
        if (status != CWS_OK) {
            message_failed(call, status);
            break;
        }
        if (!message)
            break;
        if (!delivered)
            call->early_credit += given_early(partial_before);
        delivered += message_len;
        call->method->message(call, message, message_len);
    }
    if (call->stream && !call->finished && call->started) {
        if (delivered && call->method->manual_credit)
            cws_claim_end(&call->claim);
        bool waited = cws_claim_waits(&call->claim);
        claim_room(call);
        if (call->method->manual_credit)
            settle_credit(call, received, delivered, partial_before);
        else if (waited)
            call->withheld += received;
    }
    leave(call);
}

static void on_end(void *ctx)
{
    struct cws_server_call *call = ctx;
    call->busy++;
    if (call->not_grpc && !call->finished)
        refuse_other_protocol(call);
    if (call->started && !call->finished && !call->closed) {
        if (cws_frame_is_partial(&call->reader))
            refuse(call, CWS_GRPC_INTERNAL, "the request ended inside a message");
        else
            call->method->half_closed(call);
    }
    leave(call);
}

static void on_drained(void *ctx)
{
    struct cws_server_call *call = ctx;
    call->busy++;
    if (call->started && !call->finished && !call->closed && call->method->drained)
        call->method->drained(call);
    leave(call);
}

static void on_stream_closed(void *ctx, const struct cws_h2_end *end)
{
    struct cws_server_call *call = ctx;
    call->stream = NULL;
    call->busy++;
    if (call->finished && !end->lost && !end->reset)
        conclude(call, call->code);
    else
        conclude(call, end->lost ? CWS_GRPC_UNAVAILABLE : CWS_GRPC_CANCELLED);
    leave(call);
}

static const struct cws_h2_stream_events stream_events = {
    .on_field = on_field,
    .on_block = on_block,
    .on_oversized = on_oversized,
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_stream_closed,
};

void cws_server_call_begin(struct cws_server_connection *connection, struct cws_h2_stream *stream)
{
    struct cws_server *server = connection->server;
    struct cws_server_call *call = cws_calloc(1, sizeof(*call));
    if (!call) {
        cws_h2_stream_reset(stream, CWS_H2_REFUSED_STREAM);
        return;
    }
    call->server = server;
    call->connection = connection;
    call->stream = stream;
    call->http_status = "200";
    call->deadline_ns = CWS_NO_DEADLINE;
    cws_buf_init(&call->headers, CWS_SERVER_HEADER_LIST);
    cws_frame_reader_init(&call->reader, server->max_message);
    cws_timer_init(&call->deadline, on_deadline);
    call->claim.granted = on_granted;
    server->call_count++;
    cws_h2_stream_set_events(stream, &stream_events, call);
}

/* ---- for the methods ------------------------------------------------------------------------ */

void cws_server_call_set_user(struct cws_server_call *call, void *user)
{
    call->user = user;
}

void *cws_server_call_user(const struct cws_server_call *call)
{
    return call->user;
}

const struct cws_server_method *cws_server_call_method(const struct cws_server_call *call)
{
    return call->method;
}

void *cws_server_call_ctx(const struct cws_server_call *call)
{
    return call->server->ctx;
}

const struct cws_identity *cws_server_call_identity(const struct cws_server_call *call)
{
    return call->connection->is_identified ? &call->connection->identity : NULL;
}

uint64_t cws_server_call_deadline_ns(const struct cws_server_call *call)
{
    return call->deadline_ns;
}

void cws_server_call_set_header(struct cws_server_call *call, const char *name, const char *value)
{
    call->header_name = name;
    call->header_value = value;
}

struct cws_block *cws_server_message_new(size_t len)
{
    struct cws_block *block =
        len <= SIZE_MAX - CWS_FRAME_PREFIX ? cws_block_new(CWS_FRAME_PREFIX + len) : NULL;
    if (block)
        cws_frame_prefix(block->data, len);
    return block;
}

void cws_server_call_send(struct cws_server_call *call, struct cws_block *message)
{
    bool open = !call->closed && !call->finished;
    if (open && respond(call) == CWS_OK) {
        cws_h2_stream_send(call->stream, message);
        return;
    }
    call->incomplete |= open;
    cws_block_settle(message, CWS_CLOSED);
}

size_t cws_server_call_pending(const struct cws_server_call *call)
{
    return call->stream ? cws_h2_stream_pending(call->stream) : 0;
}

void cws_server_call_consume(struct cws_server_call *call, size_t n)
{
    size_t early = n < call->early_credit ? n : call->early_credit;
    call->early_credit -= early;
    if (call->stream && n > early)
        cws_h2_stream_consume(call->stream, n - early);
}
