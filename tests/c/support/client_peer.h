/*
 * For the tests of the client role: a channel to a Unix socket in a folder of its own, and behind
 * it a cws_server or a bare HTTP/2 connection that does what the test wants.
 */
#pragma once

#include <stdlib.h>
#include <sys/un.h>

#include "h2/conn_private.h"
#include "io/listen.h"
#include "support/grpc_peer.h"
#include "support/h2_peer.h"

enum { MAX_RAW = 16 };

struct client_bed {
    struct cws_loop *loop;
    size_t live;
    char dir[32];
    char path[64];
    char url[96];
    struct cws_listener *listener;
    struct service service;
    struct cws_server *server;   /* NULL: bare HTTP/2 */
    struct h2_side raw[MAX_RAW]; /* in the order they were accepted */
    uint32_t raw_max_streams;
    void (*raw_hook)(struct h2_record *record, char event);
    void (*on_accept)(struct client_bed *bed, struct h2_side *side);
    unsigned accepted;
    struct cws_channel *channel;
    struct cws_list rpcs;
};

/* Runs the loop until the condition holds, sleeping only for events. The second run does what the
 * first one's events have deferred to just before the next wait. */
#define WAIT_FOR(loop, condition) \
    for (;;) { \
        uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT); \
        uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT); \
        if (condition) \
            break; \
        pump(loop); \
    }

static inline void respond_only(struct h2_record *record, const char *status, const char *name,
                                const char *value)
{
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", status),
                                    cws_h2_field_of("content-type", "application/grpc"),
                                    cws_h2_field_of(name, value)};
    assert_int_equal(cws_h2_stream_respond_only(record->stream, fields, 3), CWS_OK);
}

/* Ends the call with a gRPC status and what it says. */
static inline void respond_failed(struct h2_record *record, const char *code, const char *message)
{
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":status", "200"), cws_h2_field_of("content-type", "application/grpc"),
        cws_h2_field_of("grpc-message", message), cws_h2_field_of("grpc-status", code)};
    assert_int_equal(cws_h2_stream_respond_only(record->stream, fields, CWS_ARRAY_LEN(fields)),
                     CWS_OK);
}

/* A refusal, as cws_call_options.is_refusal is asked about it. */
static inline bool says_moved(const struct cws_grpc_status *status)
{
    return status->code == CWS_GRPC_UNAVAILABLE && status->message &&
           strcmp(status->message, "moved") == 0;
}

static inline void client_bed_accept(void *ctx, struct cws_transport *transport)
{
    struct client_bed *bed = ctx;
    unsigned n = bed->accepted++;
    if (bed->server) {
        cws_server_accept(bed->server, transport);
        return;
    }
    assert_true(n < MAX_RAW);
    struct h2_side *side = &bed->raw[n];
    struct cws_h2_conn_options options = {.max_streams = bed->raw_max_streams};
    *side = (struct h2_side){.free_on_closed = true, .hook = bed->raw_hook, .hook_ctx = bed};
    cws_list_init(&side->records);
    side->conn =
        cws_h2_conn_new(bed->loop, transport, CWS_H2_SERVER, &options, &h2_conn_events, side);
    if (bed->on_accept)
        bed->on_accept(bed, side);
}

static inline void client_bed_listen(struct client_bed *bed)
{
    struct cws_listen_options options = {.unix_path = bed->path};
    struct cws_error err = {0};
    if (cws_listener_new(bed->loop, &options, client_bed_accept, bed, &bed->listener, &err) !=
        CWS_OK)
        fail_msg("%s", err.text);
}

/* A loop and a folder; nothing listens yet. */
static inline void client_bed_init(struct client_bed *bed)
{
    *bed = (struct client_bed){.live = cws_alloc_live(), .raw_max_streams = 100};
    bed->loop = loop_open();
    strcpy(bed->dir, "/tmp/cws-test-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->path, sizeof(bed->path), "%s/sock", bed->dir);
    snprintf(bed->url, sizeof(bed->url), "unix://%s", bed->path);
    service_init(&bed->service);
    cws_list_init(&bed->rpcs);
}

static inline void client_bed_channel(struct client_bed *bed, struct cws_channel_options options)
{
    struct cws_error err = {0};
    options.url = bed->url;
    if (cws_channel_new(bed->loop, &options, &bed->channel, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

/* With a cws_server behind the socket. `wishes` may be NULL. */
static inline void client_bed_open(struct client_bed *bed, const struct cws_server_options *wishes)
{
    client_bed_init(bed);
    bed->server = service_server(&bed->service, bed->loop, wishes);
    client_bed_listen(bed);
    client_bed_channel(bed, (struct cws_channel_options){0});
}

/* With bare HTTP/2 connections behind it. */
static inline void client_bed_open_raw(struct client_bed *bed,
                                       void (*hook)(struct h2_record *record, char event))
{
    client_bed_init(bed);
    bed->raw_hook = hook;
    client_bed_listen(bed);
    client_bed_channel(bed, (struct cws_channel_options){0});
}

/* Sets how many streams a bare connection allows from now on. */
static inline void client_bed_raw_limit(struct h2_side *side, uint32_t max_streams)
{
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};
    assert_int_equal(nghttp2_submit_settings(side->conn->session, NGHTTP2_FLAG_NONE, &entry, 1), 0);
    cws_h2_conn_want_flush(side->conn);
}

/* The same for the n-th, from 0; the client knows when it returns. */
static inline void client_bed_raw_allow(struct client_bed *bed, unsigned n, uint32_t max_streams)
{
    client_bed_raw_limit(&bed->raw[n], max_streams);
    settle(bed->loop);
}

/* The socket takes connections and nobody speaks on them. Returns it, to be closed by the test. */
static inline int client_bed_open_silent(struct client_bed *bed)
{
    client_bed_init(bed);
    client_bed_channel(bed, (struct cws_channel_options){0});
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, bed->path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* --- calls --- */

/* What a call's owner heard. */
struct rpc {
    struct cws_list node;
    struct client_bed *bed;
    struct cws_call *call; /* NULL once ended */
    unsigned messages;
    size_t bytes;
    bool differs; /* from fill_pattern, each message from 0 */
    unsigned done;
    bool cancelled; /* by the test: no event may come */
    bool in_call;   /* nor one now, from inside a call of the test's */
    struct cws_grpc_status status;
    struct h2_settled settled;
    void (*hook)(struct rpc *rpc, char event); /* m message, s status */
};

static inline void rpc_check_event(const struct rpc *rpc)
{
    assert_false(rpc->cancelled || rpc->in_call);
    assert_int_equal(rpc->done, 0);
}

static inline void rpc_on_message(void *ctx, const uint8_t *data, size_t len)
{
    struct rpc *rpc = ctx;
    rpc_check_event(rpc);
    rpc->messages++;
    rpc->bytes += len;
    rpc->differs |= !is_pattern(data, len);
    if (rpc->hook)
        rpc->hook(rpc, 'm');
}

static inline void rpc_on_status(void *ctx, struct cws_grpc_status *status)
{
    struct rpc *rpc = ctx;
    rpc_check_event(rpc);
    rpc->done++;
    rpc->call = NULL;
    cws_grpc_status_move(&rpc->status, status);
    if (rpc->hook)
        rpc->hook(rpc, 's');
}

static const struct cws_call_events rpc_events = {.on_message = rpc_on_message,
                                                  .on_status = rpc_on_status};

static inline struct rpc *rpc_start_until(struct client_bed *bed, const char *path,
                                          uint64_t deadline_ns)
{
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    struct cws_call_options options = {.path = path, .deadline_ns = deadline_ns};
    assert_non_null(rpc);
    rpc->bed = bed;
    cws_list_push_back(&bed->rpcs, &rpc->node);
    rpc->in_call = true;
    rpc->call = cws_call_start(bed->channel, &options, &rpc_events, rpc);
    rpc->in_call = false;
    return rpc;
}

static inline struct rpc *rpc_start(struct client_bed *bed, const char *path)
{
    struct rpc *rpc = rpc_start_until(bed, path, CWS_NO_DEADLINE);
    assert_non_null(rpc->call);
    return rpc;
}

/* Queues one message of the pattern; rpc->settled counts how it was settled. */
static inline void rpc_send(struct rpc *rpc, size_t len)
{
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    assert_non_null(block);
    fill_pattern(block->data + CWS_FRAME_PREFIX, len, 0);
    block->settled = h2_on_settled;
    block->owner = &rpc->settled;
    rpc->in_call = true;
    cws_call_send(rpc->call, block);
    rpc->in_call = false;
}

static inline void rpc_half_close(struct rpc *rpc)
{
    rpc->in_call = true;
    cws_call_half_close(rpc->call);
    rpc->in_call = false;
}

static inline struct rpc *rpc_unary(struct client_bed *bed, const char *path, size_t len)
{
    struct rpc *rpc = rpc_start(bed, path);
    rpc_send(rpc, len);
    rpc_half_close(rpc);
    return rpc;
}

static inline void rpc_cancel(struct rpc *rpc)
{
    struct cws_call *call = rpc->call;
    rpc->call = NULL;
    rpc->cancelled = true;
    cws_call_cancel(call);
}

static inline void rpc_wait(struct rpc *rpc)
{
    WAIT_FOR(rpc->bed->loop, rpc->done);
}

static inline void rpc_assert_ended(const struct rpc *rpc, int code, const char *says)
{
    const char *message = rpc->status.message ? rpc->status.message : "";
    assert_int_equal(rpc->done, 1);
    if (rpc->status.code != code || (says && !strstr(message, says)))
        fail_msg("ended with %s '%s', not %s '%s'", cws_grpc_code_name(rpc->status.code), message,
                 cws_grpc_code_name(code), says ? says : "");
}

/* Waits for the n-th call on the server, from 0. */
static inline struct served *wait_served(struct client_bed *bed, size_t n)
{
    WAIT_FOR(bed->loop, bed->service.started > n);
    return service_nth(&bed->service, n);
}

/* After cws_loop_start: ends the thread; the loop is the test's own again. */
static inline void client_bed_stop_thread(struct client_bed *bed)
{
    cws_loop_stop(bed->loop);
    cws_loop_join(bed->loop);
    cws_loop_stop(bed->loop);
    cws_loop_run(bed->loop); /* makes this thread the loop's */
}

static inline void client_bed_close(struct client_bed *bed)
{
    struct cws_list *node;
    for (node = bed->rpcs.next; node != &bed->rpcs; node = node->next) {
        struct rpc *rpc = cws_list_entry(node, struct rpc, node);
        if (rpc->call)
            rpc_cancel(rpc);
    }
    cws_channel_unref(bed->channel);
    cws_server_free(bed->server);
    for (int i = 0; i < MAX_RAW; i++)
        if (bed->raw[i].records.next)
            h2_side_done(&bed->raw[i]);
    cws_listener_free(bed->listener);
    settle(bed->loop);
    service_done(&bed->service);
    loop_close(bed->loop);
    while ((node = cws_list_pop_front(&bed->rpcs)) != NULL) {
        struct rpc *rpc = cws_list_entry(node, struct rpc, node);
        cws_grpc_status_done(&rpc->status);
        free(rpc);
    }
    unlink(bed->path);
    assert_int_equal(rmdir(bed->dir), 0);
    assert_int_equal(cws_alloc_live(), bed->live);
}
