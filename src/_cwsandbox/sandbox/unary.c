#include "sandbox/unary.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "sandbox/cancel.h"
#include "sandbox/extensions.h"

void cws_unary_ref(struct cws_unary *unary)
{
    cws_ref_get(&unary->ref);
}

void cws_unary_unref(struct cws_unary *unary)
{
    if (!unary || !cws_ref_put(&unary->ref))
        return;
    cws_channel_unref(unary->channel);
    cws_trace_unref(unary->trace);
    if (unary->loop_only.request)
        cws_block_settle(unary->loop_only.request, CWS_CLOSED);
    cws_grpc_status_done(&unary->status);
    cws_free(unary->reply);
    cws_future_done(&unary->future);
    cws_free(unary);
}

static void end_trace(struct cws_unary *unary, bool is_cancelled)
{
    const struct cws_grpc_status *status = &unary->status;
    cws_trace_end(unary->trace, &(struct cws_trace_end){
                                    .how = is_cancelled                  ? "cancelled"
                                           : status->code == CWS_GRPC_OK ? "done"
                                                                         : "status",
                                    .code = status->code,
                                    .text = status->message,
                                });
}

static void conclude(struct cws_unary *unary)
{
    bool is_cancelled = cws_phase_end(&unary->phase);
    if (is_cancelled) { /* an answer that came anyway is not shown */
        cws_grpc_status_done(&unary->status);
        cws_grpc_status_set(&unary->status, CWS_GRPC_CANCELLED, "cancelled by the caller");
    }
    if (unary->status.code != CWS_GRPC_OK) {
        cws_free(unary->reply);
        unary->reply = NULL;
    }
    if (unary->trace)
        end_trace(unary, is_cancelled);
    cws_future_complete(&unary->future);
    cws_unary_unref(unary); /* the loop's reference */
}

static void on_header(void *ctx, const char *name, size_t name_len, const char *value,
                      size_t value_len)
{
    struct cws_unary *unary = ctx;
    if (name_len == strlen(CWS_EXTENSIONS_HEADER) &&
        memcmp(name, CWS_EXTENSIONS_HEADER, name_len) == 0)
        unary->loop_only.extensions |= cws_extensions_parse(value, value_len);
}

static void on_message(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_unary *unary = ctx;
    if (unary->loop_only.replies++) /* against the protocol: on_status tells */
        return;
    unary->reply = cws_malloc(len + 1); /* an empty message is a reply, too */
    unary->reply_len = len;
    if (unary->reply)
        memcpy(unary->reply, data, len);
}

static void on_status(void *ctx, struct cws_grpc_status *status)
{
    struct cws_unary *unary = ctx;
    unary->loop_only.call = NULL;
    cws_grpc_status_move(&unary->status, status);
    if (unary->only_connects) {
        conclude(unary);
        return;
    }
    if (unary->status.code == CWS_GRPC_OK)
        cws_channel_set_extensions(unary->channel, unary->loop_only.extensions);
    if (unary->status.code == CWS_GRPC_OK && unary->loop_only.replies != 1)
        cws_grpc_status_set(&unary->status, CWS_GRPC_INTERNAL, "the peer sent %s reply message",
                            unary->loop_only.replies ? "more than one" : "no");
    else if (unary->status.code == CWS_GRPC_OK && !unary->reply)
        cws_grpc_status_set(&unary->status, CWS_GRPC_RESOURCE_EXHAUSTED,
                            "out of memory for the reply");
    conclude(unary);
}

static const struct cws_call_events call_events = {
    .on_header = on_header, .on_message = on_message, .on_status = on_status};

static void run_start(struct cws_task *task)
{
    struct cws_unary *unary = cws_container_of(task, struct cws_unary, start_task);
    struct cws_call_options options = {
        .path = unary->only_connects ? NULL : unary->path,
        .metadata = cws_trace_metadata(unary->trace),
        .deadline_ns =
            unary->timeout_s < 0 ? CWS_NO_DEADLINE : cws_clock_deadline_ns(unary->timeout_s),
    };
    unary->loop_only.call = cws_call_start(unary->channel, &options, &call_events, unary);
    if (!unary->loop_only.call) {
        cws_grpc_status_set(&unary->status, CWS_GRPC_RESOURCE_EXHAUSTED,
                            "out of memory for a call");
        conclude(unary);
        return;
    }
    if (unary->only_connects)
        return;
    cws_trace_sent(unary->trace);
    struct cws_block *request = unary->loop_only.request;
    unary->loop_only.request = NULL;
    cws_call_send(unary->loop_only.call, request);
    cws_call_half_close(unary->loop_only.call);
}

static void run_cancel(struct cws_task *task)
{
    struct cws_unary *unary = cws_container_of(task, struct cws_unary, cancel_task);
    if (unary->loop_only.call) {
        struct cws_call *call = unary->loop_only.call;
        unary->loop_only.call = NULL;
        cws_call_cancel(call);
        conclude(unary);
    }
    cws_unary_unref(unary); /* the task's */
}

enum cws_status cws_unary_start(struct cws_channel *channel, const char *path,
                                struct cws_block *request, double timeout_s,
                                struct cws_trace *trace, struct cws_unary **out_unary)
{
    size_t path_size = strlen(path) + 1;
    struct cws_unary *unary = cws_calloc(1, sizeof(*unary) + path_size);
    if (!unary)
        return CWS_NO_MEMORY;
    memcpy(unary->path, path, path_size);
    cws_ref_init(&unary->ref);
    cws_ref_get(&unary->ref); /* the loop's, until the end */
    cws_future_init(&unary->future);
    cws_channel_ref(channel);
    unary->channel = channel;
    unary->timeout_s = timeout_s;
    unary->trace = trace;
    unary->only_connects = request == NULL;
    unary->loop_only.request = request;
    unary->start_task.run = run_start;
    unary->cancel_task.run = run_cancel;
    atomic_init(&unary->phase, CWS_PHASE_LIVE);
    *out_unary = unary;
    cws_loop_post(cws_channel_loop(channel), &unary->start_task);
    return CWS_OK;
}

bool cws_unary_cancel(struct cws_unary *unary)
{
    bool first;
    bool cancelled = cws_phase_cancel(&unary->phase, &first);
    if (first) {
        cws_unary_ref(unary);
        cws_loop_post(cws_channel_loop(unary->channel), &unary->cancel_task);
    }
    return cancelled;
}
