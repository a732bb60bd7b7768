/*
 * A unary call as an operation. It is started on any thread and driven by the loop thread; any
 * thread may take its result.
 */
#pragma once

#include "base/block.h"
#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"
#include "sandbox/trace.h"

struct cws_unary {
    struct cws_ref ref;
    struct cws_future future;

    /* Valid once the future is done: */
    struct cws_grpc_status status; /* cancelled by cws_unary_cancel: CANCELLED and local */
    uint8_t *reply;                /* serialized message; NULL unless status.code is 0 */
    size_t reply_len;

    struct cws_task start_task, cancel_task;
    atomic_int phase; /* any thread's: enum cws_phase */

    /* Fixed at start: */
    struct cws_channel *channel; /* a reference */
    double timeout_s;
    struct cws_trace *trace; /* a reference; NULL: nobody traces it */
    bool only_connects;      /* there is no request, and no reply to wait for */

    struct {
        struct cws_block *request; /* until sent */
        struct cws_call *call;
        size_t replies;      /* replies received; exactly one is correct */
        unsigned extensions; /* those the answer names: a set of enum cws_extension */
    } loop_only;
    char path[]; /* NUL-terminated; fixed at start */
};

/* Starts the call. `path` is copied. With `request` NULL nothing is asked for, and the operation
 * succeeds, without a reply, once the channel has a connection. Otherwise `request` has
 * CWS_FRAME_PREFIX bytes of room in front, and is taken over on success. `timeout_s` counts from
 * now; negative: none. `trace` may be NULL; its reference is taken over on success. The caller gets
 * one reference. CWS_NO_MEMORY. Any thread. */
enum cws_status cws_unary_start(struct cws_channel *channel, const char *path,
                                struct cws_block *request, double timeout_s,
                                struct cws_trace *trace,
                                struct cws_unary **out_unary) CWS_MUST_CHECK;
void cws_unary_ref(struct cws_unary *unary);
void cws_unary_unref(struct cws_unary *unary); /* NULL is allowed */

/* Any thread. True: the operation ends as cancelled, because of this call or an earlier one. False:
 * it had ended already. */
bool cws_unary_cancel(struct cws_unary *unary);
