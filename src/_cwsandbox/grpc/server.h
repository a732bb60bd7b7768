/*
 * gRPC in the server role: connections handed in by a listener, a table of methods, one object per
 * call. Loop thread only.
 *
 * A call lives from its method's `start` to its `closed`, which is always the last thing the method
 * hears, exactly once, and after which the call must not be touched: after the status has been
 * sent, when the client reset the stream or its connection broke, or when the call's deadline
 * (grpc-timeout) passed; the server then answers DEADLINE_EXCEEDED itself.
 *
 * With an `admit`, who connects is a stranger until one of his calls was admitted, and gets little:
 * see "strangers" below.
 */
#pragma once

#include "base/block.h"
#include "base/clock.h"
#include "grpc/status.h"
#include "io/loop.h"
#include "io/transport.h"

struct cws_server;
struct cws_server_call;

struct cws_server_method {
    const char *path; /* "/coreweave.sandbox.v1.SandboxService/StreamExec" */
    /* The request's headers are in and the call is admitted. Set the call's user pointer here. The
     * call may be finished from inside any of these. */
    void (*start)(struct cws_server_call *call, void *ctx);
    /* One whole request message; `data` is valid during the call. */
    void (*message)(struct cws_server_call *call, const uint8_t *data, size_t len);
    /* The client sends no more (half-close). */
    void (*half_closed)(struct cws_server_call *call);
    /* What was queued by cws_server_call_send has been handed to the connection (pending is 0
     * again). May be NULL. */
    void (*drained)(struct cws_server_call *call);
    /* Last. `why`: what ended it (CANCELLED: by the client; DEADLINE_EXCEEDED; UNAVAILABLE:
     * connection lost; else the code the method finished with). */
    void (*closed)(struct cws_server_call *call, enum cws_grpc_code why);
    /* false: request messages earn their flow-control window when `message` returns. true: the
     * method gives it back itself with cws_server_call_consume, so that a slow consumer slows the
     * client. */
    bool manual_credit;
    const void *data; /* the method's own; see cws_server_call_method */
};

struct cws_server_options {
    const struct cws_server_method *methods;
    size_t method_count;
    /* Asked first about every call, whatever its method; its headers are in. false: it has finished
     * the call. NULL: whoever can connect may call. */
    bool (*admit)(struct cws_server_call *call, void *ctx);
    void *ctx;            /* for `admit` and `start` */
    size_t max_message;   /* 0: 100 MiB; a larger request ends RESOURCE_EXHAUSTED */
    uint32_t max_streams; /* MAX_CONCURRENT_STREAMS per connection; 0: 1000 */
};

/* A connection whose client has not sent the HTTP/2 preface by then is ended. */
#define CWS_SERVER_PREFACE_NS (10 * CWS_NS_PER_S)

/* Strangers. So many are kept; one more ends the oldest, so that they cannot keep anyone out. Each
 * has this long to bring a call that is admitted, this many tries, and this much room for headers;
 * afterwards it is HEADER_LIST. */
#define CWS_SERVER_MAX_STRANGERS        64
#define CWS_SERVER_STRANGER_NS          (30 * CWS_NS_PER_S)
#define CWS_SERVER_STRANGER_CALLS       100
#define CWS_SERVER_STRANGER_HEADER_LIST ((size_t)16 * 1024)
#define CWS_SERVER_HEADER_LIST          ((size_t)64 * 1024)

/* Copies the options (methods and ctx stay the caller's). NULL when out of memory. */
struct cws_server *cws_server_new(struct cws_loop *loop, const struct cws_server_options *options);

/* An accepted connection; taken over. Matches cws_accept_fn with ctx = the server. */
void cws_server_accept(void *server, struct cws_transport *transport);

/* GOAWAY to everyone, calls end with UNAVAILABLE (`closed` is called for each), connections are
 * closed, memory freed. */
void cws_server_free(struct cws_server *server);
size_t cws_server_call_count(const struct cws_server *server);
size_t cws_server_connection_count(const struct cws_server *server);

void cws_server_call_set_user(struct cws_server_call *call, void *user);
void *cws_server_call_user(const struct cws_server_call *call);
/* The entry of the server's table; not NULL from `start` on. */
const struct cws_server_method *cws_server_call_method(const struct cws_server_call *call);
/* The ctx of the server's options. */
void *cws_server_call_ctx(const struct cws_server_call *call);

/* Value of a request header (lower-case name), NULL if absent. From `admit` and `start` only: then
 * the headers go, as calls may be long. */
const char *cws_server_call_header(const struct cws_server_call *call, const char *name);
/* Absolute deadline from grpc-timeout, or CWS_NO_DEADLINE. */
uint64_t cws_server_call_deadline_ns(const struct cws_server_call *call);

/* One more header of the answer; static texts. Before anything was sent. */
void cws_server_call_set_header(struct cws_server_call *call, const char *name, const char *value);

/* Room for one response message of `len` bytes: write it to block->data + CWS_SERVER_PREFIX and
 * pass the block to cws_server_call_send. NULL when out of memory. */
#define CWS_SERVER_PREFIX 5
struct cws_block *cws_server_message_new(size_t len);

/* Queues the message (taken over in every case). Dropped when the call has ended. */
void cws_server_call_send(struct cws_server_call *call, struct cws_block *message);
/* Response bytes queued and not yet handed to the connection. */
size_t cws_server_call_pending(const struct cws_server_call *call);
/* manual_credit: `n` bytes of message payload have been used up. */
void cws_server_call_consume(struct cws_server_call *call, size_t n);

/* Ends the call after what is queued, with trailers. `message` may be NULL; `details` (a serialized
 * google.rpc.Status) too. No send after it. */
void cws_server_call_finish(struct cws_server_call *call, enum cws_grpc_code code,
                            const char *message, const uint8_t *details, size_t details_len);
