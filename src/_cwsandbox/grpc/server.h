/*
 * gRPC in the server role: connections from a listener, a table of methods, one object per call.
 * Loop thread only.
 *
 * A call lives from its method's `start` to its `closed`. `closed` is always the last event and
 * comes exactly once; the call must not be touched after it. It comes after the status was sent,
 * when the client has reset the stream or its connection broke, or when the call's deadline
 * (grpc-timeout) has passed; the server then answers DEADLINE_EXCEEDED itself.
 *
 * If there is an `admit`, a client without a certificate is a stranger until one of its calls has
 * been admitted, and gets few resources: see "Strangers" below.
 */
#pragma once

#include "base/block.h"
#include "base/clock.h"
#include "grpc/frame.h"
#include "grpc/status.h"
#include "io/loop.h"
#include "io/transport.h"

struct cws_server;
struct cws_server_call;

struct cws_server_method {
    const char *path; /* "/coreweave.sandbox.v1.SandboxService/StreamExec" */
    /* The request's headers have arrived, and the call is admitted. Set the call's user pointer
     * here. The call may be finished from inside any of these events but `closed`. */
    void (*start)(struct cws_server_call *call, void *ctx);
    /* One whole request message. `data` is valid until the event returns. */
    void (*message)(struct cws_server_call *call, const uint8_t *data, size_t len);
    /* The client will send no more messages (half-close). */
    void (*half_closed)(struct cws_server_call *call);
    /* May be NULL. What was queued by cws_server_call_send has been handed to the connection
     * (pending is 0 again). */
    void (*drained)(struct cws_server_call *call);
    /* The last event. `why` says what ended the call. CANCELLED: the client; DEADLINE_EXCEEDED: its
     * deadline; UNAVAILABLE: the loss of the connection; otherwise the code it was finished
     * with. */
    void (*closed)(struct cws_server_call *call, enum cws_grpc_code why);
    /* false: a request message is returned to the flow-control window when `message` returns. true:
     * the method returns it itself with cws_server_call_consume, so that a slow consumer slows the
     * client. */
    bool manual_credit;
    const void *data; /* the method's own; see cws_server_call_method */
};

struct cws_server_options {
    const struct cws_server_method *methods;
    size_t method_count;
    /* Called first for every call, whatever its method, when its headers have arrived. Returns
     * false if it has refused, and finished, the call. NULL: anyone who can connect may call. */
    bool (*admit)(struct cws_server_call *call, void *ctx);
    void *ctx;            /* for `admit` and `start` */
    size_t max_message;   /* 0: 100 MiB; a call with a larger request ends as RESOURCE_EXHAUSTED */
    uint32_t max_streams; /* MAX_CONCURRENT_STREAMS per connection; 0: 1000 */
};

/* A connection is ended if its client has not sent the HTTP/2 preface within this time. */
#define CWS_SERVER_PREFACE_NS (10 * CWS_NS_PER_S)

/* Large requests. A message that does not fit into a stream's window counts with its full length,
 * from its beginning until it was handed to a method that gives back credit itself, otherwise until
 * its call has ended. All of a connection may have LARGE_REQUESTS bytes together. One that does not
 * fit in waits, held back by its stream's window. */
#define CWS_SERVER_LARGE_REQUESTS ((size_t)256 << 20)

/* Strangers. At most MAX_STRANGERS connections are kept; one more ends the oldest, so that
 * strangers cannot keep anyone out. Within STRANGER_NS and STRANGER_CALLS calls one call must be
 * admitted. A stranger's header list may have STRANGER_HEADER_LIST bytes, that of an admitted
 * client HEADER_LIST. */
#define CWS_SERVER_MAX_STRANGERS        64
#define CWS_SERVER_STRANGER_NS          (30 * CWS_NS_PER_S)
#define CWS_SERVER_STRANGER_CALLS       100
#define CWS_SERVER_STRANGER_HEADER_LIST ((size_t)16 * 1024)
#define CWS_SERVER_HEADER_LIST          ((size_t)64 * 1024)

/* Copies the options (methods and ctx stay the caller's). NULL when out of memory. */
struct cws_server *cws_server_new(struct cws_loop *loop, const struct cws_server_options *options);

/* Takes over an accepted connection. Matches cws_accept_fn; its ctx is the server. */
void cws_server_accept(void *server, struct cws_transport *transport);

/* Takes no more calls on the connections of those clients with a certificate whose identity
 * `is_over` says yes to, and closes each once its calls have ended. */
void cws_server_drain(struct cws_server *server,
                      bool (*is_over)(const struct cws_identity *identity, void *ctx), void *ctx);

/* Sends GOAWAY to every client, ends all calls with UNAVAILABLE (`closed` is called for each),
 * closes the connections and frees the server. */
void cws_server_free(struct cws_server *server);
size_t cws_server_call_count(const struct cws_server *server);
size_t cws_server_connection_count(const struct cws_server *server);

void cws_server_call_set_user(struct cws_server_call *call, void *user);
void *cws_server_call_user(const struct cws_server_call *call);
/* The call's entry in the server's table. Not NULL from `start` on; NULL before that. */
const struct cws_server_method *cws_server_call_method(const struct cws_server_call *call);
/* The ctx of the server's options. */
void *cws_server_call_ctx(const struct cws_server_call *call);

/* The value of a request header (lower-case name); NULL if there is none. Only from `admit` and
 * `start`: the headers are freed afterwards, since calls may last long. */
const char *cws_server_call_header(const struct cws_server_call *call, const char *name);
/* Whom the client's certificate names. NULL: it has shown none. */
const struct cws_identity *cws_server_call_identity(const struct cws_server_call *call);
/* The absolute deadline from grpc-timeout, or CWS_NO_DEADLINE. */
uint64_t cws_server_call_deadline_ns(const struct cws_server_call *call);

/* Adds a header to the answer. Both texts must be static. Only before anything has been sent. */
void cws_server_call_set_header(struct cws_server_call *call, const char *name, const char *value);

/* Room for one response message of `len` bytes: write it to block->data + CWS_FRAME_PREFIX and
 * pass the block to cws_server_call_send. NULL when out of memory. */
struct cws_block *cws_server_message_new(size_t len);

/* Queues the message, which is taken over in every case. It is dropped if the call has ended. */
void cws_server_call_send(struct cws_server_call *call, struct cws_block *message);
/* Response bytes that are queued and not yet handed to the connection. */
size_t cws_server_call_pending(const struct cws_server_call *call);
/* For manual_credit: `n` bytes of message payload have been consumed. */
void cws_server_call_consume(struct cws_server_call *call, size_t n);

/* Ends the call with trailers, after what is queued. `message` and `details` (a serialized
 * google.rpc.Status) may be NULL. Nothing may be sent after this. */
void cws_server_call_finish(struct cws_server_call *call, enum cws_grpc_code code,
                            const char *message, const uint8_t *details, size_t details_len);
