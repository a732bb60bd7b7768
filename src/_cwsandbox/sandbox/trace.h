/*
 * What traces one operation: header fields for its calls alone, and how it has ended. The end goes
 * into a queue, from which the tracer takes it. An operation that is not traced has none (NULL), so
 * that tracing costs it one test of a pointer.
 *
 *   carried by its operation → ended, in the queue → taken
 */
#pragma once

#include "base/ref.h"
#include "grpc/call.h"
#include "io/queue.h"

/* How an operation has ended. */
struct cws_trace_end {
    const char *how;   /* static: "exited", "done", "status", "cancelled", … */
    int exit_code;     /* "exited" */
    int code;          /* a gRPC status; 0 without one */
    char *text;        /* the message of the status or error; NULL: none, or "" */
    char *reason;      /* the code of an error that came in the stream; NULL: none */
    uint64_t sent_ns;  /* time of day; 0: it was never sent */
    uint64_t ended_ns; /* time of day */
};

struct cws_trace {
    struct cws_ref ref;
    struct cws_list node;         /* in the queue; guarded by its lock */
    struct cws_queue *queue;      /* a reference */
    struct cws_metadata metadata; /* fixed before the operation starts */
    void *owner;                  /* of the starter; for whoever takes the trace */
    atomic_bool has_ended;
    struct cws_trace_end end; /* valid once it was taken; `sent_ns` before that, too */
};

/* A trace without fields. The caller gets one reference. NULL when out of memory. Any thread. */
struct cws_trace *cws_trace_new(struct cws_queue *queue, void *owner);
void cws_trace_ref(struct cws_trace *trace);
void cws_trace_unref(struct cws_trace *trace); /* NULL is allowed */

/* The most bytes in all of its fields, as cws_metadata counts them. */
#define CWS_TRACE_MAX_SIZE 8192
/* Before its operation starts: as cws_metadata_add, within this limit and CWS_CALL_MAX_FIELDS. */
enum cws_status cws_trace_add(struct cws_trace *trace, const char *name, size_t name_len,
                              const char *value, size_t value_len,
                              struct cws_error *err) CWS_MUST_CHECK;

/* For the operation's call; NULL without a trace. */
static inline const struct cws_metadata *cws_trace_metadata(const struct cws_trace *trace)
{
    return trace ? &trace->metadata : NULL;
}

/* Loop thread: a request of the operation is being sent. Only the first call counts. NULL is
 * allowed. */
void cws_trace_sent(struct cws_trace *trace);

/* The operation has ended: puts the trace into the queue. Call it before the future completes, so
 * that whoever sees the operation end finds the trace there. Only the first call counts. Copies the
 * texts and fills in the times. Any thread. */
void cws_trace_end(struct cws_trace *trace, const struct cws_trace_end *end);

/* Any thread: takes the trace that ended first, with the queue's reference. NULL if there is
 * none. */
struct cws_trace *cws_trace_take(struct cws_queue *queue);
