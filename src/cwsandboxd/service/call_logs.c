/*
 * StreamLogs: what a sandbox's main command has written, and with `follow` what it writes.
 *
 *   client:  request · half-close
 *   server:  (entry)* · status OK, or (entry)* · entry with an error · status OK
 *
 * A bad request is a gRPC status; a log that is not there as far as the client needs it is an error
 * within the stream, from which the client knows whether to ask again.
 */
#include "base/alloc.h"
#include "sandboxes/log_stream.h"
#include "service/calls.h"
#include "service/service.h"
#include "service/view.h"
#include "values/bounds.h"
#include "values/wire.h"

struct logs_call {
    struct cws_server_call *call;
    cwsd_pb_logs_request *request;
    struct cwsd_log_stream *stream; /* NULL before the request's end and after the last event */
    bool paused;
    bool finished; /* a status has been sent */
};

/* Each of these ends the call, and may free it. */

static void finish(struct logs_call *logs, const struct cwsd_fault *fault)
{
    logs->finished = true;
    cwsd_log_stream_free(logs->stream);
    logs->stream = NULL;
    if (fault)
        cwsd_fault_finish(fault, logs->call);
    else
        cws_server_call_finish(logs->call, CWS_GRPC_OK, NULL, NULL, 0);
}

static void finish_memory(struct logs_call *logs)
{
    struct cwsd_fault fault;
    cwsd_fault_set_memory(&fault);
    finish(logs, &fault);
}

/* ---- from the log --------------------------------------------------------------------------- */

static void on_piece(void *ctx, const struct cwsd_log_piece *piece)
{
    struct logs_call *logs = ctx;
    cwsd_pb_log_entry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    cwsd_pb_timestamp time = cwsd_view_timestamp(piece->time);
    entry.data.data = (uint8_t *)piece->data;
    entry.data.len = piece->len;
    entry.timestamp = &time;
    entry.log_session_id = (char *)piece->session;
    entry.next_log_offset = piece->next_offset;
    if (!cwsd_service_send(logs->call, &entry)) {
        finish_memory(logs);
        return;
    }
    if (!logs->paused && cws_server_call_pending(logs->call) > CWSD_LOG_HIGH_WATER) {
        logs->paused = true;
        cwsd_log_stream_pause(logs->stream, true);
    }
}

static void on_end(void *ctx)
{
    finish(ctx, NULL);
}

static void on_broken(void *ctx, const char *code, const char *message)
{
    struct logs_call *logs = ctx;
    cwsd_pb_log_entry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    cwsd_pb_log_error error = COREWEAVE__SANDBOX__V1__LOG_STREAM_ERROR__INIT;
    error.code = (char *)code;
    error.message = (char *)message;
    entry.error = &error;
    if (cwsd_service_send(logs->call, &entry))
        finish(logs, NULL);
    else
        finish_memory(logs);
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    finish(ctx, fault);
}

static const struct cwsd_log_events log_events = {on_piece, on_end, on_broken, on_failed};

/* ---- from the client ------------------------------------------------------------------------ */

static void open_stream(struct logs_call *logs)
{
    const cwsd_pb_logs_request *message = logs->request;
    struct cwsd_fault fault;
    struct timespec since;
    if (message->since_time)
        since = (struct timespec){.tv_sec = message->since_time->seconds,
                                  .tv_nsec = message->since_time->nanos};
    const struct cwsd_log_request request = {
        .sandbox_id = message->sandbox_id,
        .container = message->container,
        .follow = message->follow,
        .timestamps = message->timestamps,
        .tail_lines = message->tail_lines,
        .since = message->since_time ? &since : NULL,
        .session = message->resume_log_session_id,
        .offset = message->resume_log_offset,
    };
    logs->stream = cwsd_log_stream_open(cwsd_service_of(logs->call)->pool, &request, &log_events,
                                        logs, &fault);
    if (!logs->stream)
        finish(logs, &fault);
}

static void start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    struct logs_call *logs = cws_calloc(1, sizeof(*logs));
    if (!logs) {
        cwsd_fault_set_memory(&fault);
        cwsd_fault_finish(&fault, call);
        return;
    }
    logs->call = call;
    cws_server_call_set_user(call, logs);
    cwsd_pool_hold(cwsd_service_of(call)->pool);
}

static void message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct logs_call *logs = cws_server_call_user(call);
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    if (!logs || logs->finished)
        return;
    if (logs->request)
        cwsd_fault_set_invalid(&fault, "request", "came a second time");
    else
        logs->request = cwsd_wire_unpack(&coreweave__sandbox__v1__stream_logs_request__descriptor,
                                         data, len, &fault);
    if (cwsd_fault_is_set(&fault) ||
        !cwsd_service_check_sandbox(call, logs->request->sandbox_id, &fault))
        finish(logs, &fault);
}

static void half_closed(struct cws_server_call *call)
{
    struct logs_call *logs = cws_server_call_user(call);
    struct cwsd_fault fault;
    if (!logs || logs->finished)
        return;
    if (logs->request) {
        open_stream(logs);
        return;
    }
    cwsd_fault_set_invalid(&fault, "request", "must be sent before the client's side is closed");
    finish(logs, &fault);
}

static void drained(struct cws_server_call *call)
{
    struct logs_call *logs = cws_server_call_user(call);
    if (!logs || !logs->paused)
        return;
    logs->paused = false;
    if (logs->stream)
        cwsd_log_stream_pause(logs->stream, false);
}

static void closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)why;
    struct logs_call *logs = cws_server_call_user(call);
    if (!logs)
        return;
    cwsd_pool_release(cwsd_service_of(call)->pool);
    cwsd_log_stream_free(logs->stream);
    cwsd_wire_free(logs->request);
    cws_free(logs);
}

const struct cws_server_method cwsd_call_stream_logs = {
    .path = CWSD_SANDBOX_SERVICE "StreamLogs",
    .start = start,
    .message = message,
    .half_closed = half_closed,
    .drained = drained,
    .closed = closed,
};
