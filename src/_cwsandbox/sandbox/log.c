#include "sandbox/log.h"

#include <string.h>

#include "base/alloc.h"
#include "io/guest.h"
#include "sandbox/cancel.h"

void cws_log_ref(struct cws_log *log)
{
    cws_ref_get(&log->ref);
}

void cws_log_unref(struct cws_log *log)
{
    if (!log || !cws_ref_put(&log->ref))
        return;
    cws_sandbox_unref(log->sandbox);
    cws_trace_unref(log->trace);
    cws_output_done(&log->output);
    cws_grpc_status_done(&log->status);
    cws_free(log->frame_code);
    cws_free(log->container);
    cws_free(log->loop_only.session);
    cws_future_done(&log->future);
    cws_free(log);
}

static bool has_ended(const struct cws_log *log)
{
    return log->end != CWS_LOG_OPEN;
}

static void drop_call(struct cws_log *log)
{
    struct cws_call *call = log->loop_only.call;
    log->loop_only.call = NULL;
    if (call)
        cws_call_cancel(call);
}

static void end_trace(struct cws_log *log)
{
    static const char *const names[] = {
        [CWS_LOG_COMPLETE] = "done",       [CWS_LOG_STATUS] = "status",
        [CWS_LOG_FRAME] = "frame",         [CWS_LOG_LOST] = "lost",
        [CWS_LOG_NOT_OPEN] = "not_open",   [CWS_LOG_CLOSED] = "closed",
        [CWS_LOG_CANCELLED] = "cancelled",
    };
    cws_trace_end(log->trace, &(struct cws_trace_end){
                                  .how = names[log->end],
                                  .code = log->status.code,
                                  .text = log->status.message,
                                  .reason = log->frame_code,
                              });
}

void cws_log_end(struct cws_log *log, enum cws_log_end end)
{
    if (has_ended(log))
        return;
    log->end = cws_phase_end(&log->shared.phase) ? CWS_LOG_CANCELLED : end;
    cws_timer_cancel(log->sandbox->loop, &log->loop_only.timer);
    cws_tenant_leave(&log->loop_only.tenant);
    drop_call(log);
    if (log->trace)
        end_trace(log);
    cws_future_complete(&log->future);
    /* After the future, so that whoever sees the output end can ask how the log ended. */
    cws_output_end(&log->output);
    cws_log_unref(log); /* the loop's */
}

static void set_frame_code(struct cws_log *log, const char *code)
{
    cws_free(log->frame_code);
    log->frame_code = code ? cws_strdup(code) : NULL;
}

void cws_log_fail(struct cws_log *log, int code, const char *text)
{
    set_frame_code(log, NULL);
    cws_grpc_status_set(&log->status, code, "%s", text);
    cws_log_end(log, CWS_LOG_STATUS);
}

static void fail_for_memory(struct cws_log *log)
{
    cws_log_fail(log, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for the log");
}

/* ---- flow control --------------------------------------------------------------------------- */

/* Unread bytes are not returned to the service's flow-control window. */
static void hold_back(struct cws_log *log)
{
    bool is_waited_for = cws_output_is_waited_for(&log->output), before;
    size_t held;
    do { /* a reader that began to wait in between has seen the old number */
        before = is_waited_for;
        held = cws_output_held(&log->output);
        atomic_store(&log->shared.held, held);
        is_waited_for = cws_output_is_waited_for(&log->output);
    } while (is_waited_for && !before);
    if (log->loop_only.call)
        cws_call_set_held(log->loop_only.call, held);
}

static void run_flow(struct cws_task *task)
{
    struct cws_log *log = cws_container_of(task, struct cws_log, flow_task);
    atomic_store(&log->shared.flow_posted, false);
    if (!has_ended(log)) {
        hold_back(log);
        if (log->loop_only.state == CWS_LOG_PARKED &&
            atomic_load(&log->shared.held) < CWS_LOG_UNREAD_MAX)
            cws_log_unpark(log);
    }
    cws_log_unref(log); /* the task's */
}

/* While little is held the window has room, and there is nothing to tell the loop. */
static void on_taken(struct cws_output *output)
{
    struct cws_log *log = cws_container_of(output, struct cws_log, output);
    if (atomic_load(&log->shared.held) < CWS_OUTPUT_REPORT || cws_future_is_done(&log->future) ||
        atomic_exchange(&log->shared.flow_posted, true))
        return;
    cws_log_ref(log);
    cws_loop_post(log->sandbox->loop, &log->flow_task);
}

/* ---- entries -------------------------------------------------------------------------------- */

static bool keep_session(struct cws_log *log, const struct cws_log_entry *entry)
{
    const char *known = log->loop_only.session;
    if (entry->next_offset)
        log->loop_only.offset = entry->next_offset;
    if (entry->session_len == 0 || (known && strlen(known) == entry->session_len &&
                                    memcmp(known, entry->session, entry->session_len) == 0))
        return true;
    char *session = cws_strndup(entry->session, entry->session_len);
    if (!session)
        return false;
    cws_free(log->loop_only.session);
    log->loop_only.session = session;
    return true;
}

static void on_data(struct cws_log *log, const struct cws_log_entry *entry)
{
    if (!keep_session(log, entry) ||
        cws_output_append(&log->output, entry->data, entry->len) != CWS_OK) {
        fail_for_memory(log);
        return;
    }
    if (entry->len == 0)
        return;
    if (entry->has_time) {
        log->loop_only.has_time = true;
        log->loop_only.time = entry->time;
    }
    cws_log_has_recovered(log);
    hold_back(log);
}

static void on_error(struct cws_log *log, const struct cws_log_entry *entry)
{
    enum cws_log_from from;
    cws_grpc_status_done(&log->status);
    cws_grpc_status_set(&log->status, CWS_GRPC_UNKNOWN, "%s", entry->message);
    log->status.local = false;
    set_frame_code(log, entry->code);
    if (!log->follow || !cws_log_may_ask_again_after(entry->code, &from)) {
        cws_log_end(log, CWS_LOG_FRAME);
    } else if (log->loop_only.is_closing) {
        cws_log_end(log, CWS_LOG_CLOSED);
    } else {
        drop_call(log);
        cws_log_ask_again(log, from, 0);
    }
}

static void on_message(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_log *log = ctx;
    struct cws_log_entry entry;
    enum cws_status status = cws_log_entry_parse(data, len, &entry);
    if (status == CWS_NO_MEMORY)
        fail_for_memory(log);
    else if (status != CWS_OK)
        cws_log_fail(log, CWS_GRPC_INTERNAL, "a message from the peer could not be decoded");
    if (status != CWS_OK)
        return;
    if (entry.code)
        on_error(log, &entry);
    else
        on_data(log, &entry);
    cws_log_entry_done(&entry);
}

static void on_status(void *ctx, struct cws_grpc_status *status)
{
    struct cws_log *log = ctx;
    uint64_t wish_ns;
    enum cws_log_from from;
    log->loop_only.call = NULL;
    set_frame_code(log, NULL);
    cws_grpc_status_done(&log->status);
    cws_grpc_status_move(&log->status, status);
    if (log->status.code == CWS_GRPC_OK)
        cws_log_end(log, CWS_LOG_COMPLETE);
    else if (log->loop_only.is_closing)
        cws_log_end(log, CWS_LOG_CLOSED);
    else if (log->follow && cws_log_may_ask_again(&log->status, &from, &wish_ns))
        cws_log_ask_again(log, from, wish_ns);
    else
        cws_log_end(log, CWS_LOG_STATUS);
}

static void on_open(void *ctx)
{
    struct cws_log *log = ctx;
    log->loop_only.opened_ns = cws_clock_now_ns();
    if (!log->loop_only.is_closing)
        cws_timer_cancel(log->sandbox->loop, &log->loop_only.timer);
}

static const struct cws_call_events call_events = {
    .on_message = on_message,
    .on_open = on_open,
    .on_status = on_status,
};

/* ---- asking --------------------------------------------------------------------------------- */

/* A service that cannot be reached gets no more time than one that refuses. */
static bool limit_opening(struct cws_log *log)
{
    return log->loop_only.failures == 0 ||
           cws_timer_set(log->sandbox->loop, &log->loop_only.timer,
                         log->loop_only.failing_since_ns + CWS_LOG_PATIENCE_NS) == CWS_OK;
}

void cws_log_ask(struct cws_log *log)
{
    struct cws_sandbox *sandbox = log->sandbox;
    bool has_limit = !log->follow && log->timeout_s >= 0;
    struct cws_call_options options = {
        .deadline_ns = has_limit ? cws_clock_deadline_ns(log->timeout_s) : CWS_NO_DEADLINE,
        .holds_back = true,
        .metadata = cws_trace_metadata(log->trace),
    };
    const struct cws_log_request request = {
        .sandbox_id = sandbox->loop_only.id,
        .container = log->container,
        .follow = log->follow,
        .window = log->loop_only.window,
        .session = log->loop_only.session,
        .offset = log->loop_only.offset,
    };
    log->loop_only.state = CWS_LOG_ASKING;
    struct cws_channel *channel =
        cws_sandbox_route(sandbox, &log->loop_only.tenant, CWS_DATA_STREAM_LOGS, &options);
    if (!channel) {
        cws_log_fail(log, CWS_GRPC_UNAVAILABLE, CWS_ROUTE_NOT_PERMITTED);
        return;
    }
    struct cws_block *block = cws_log_wire_request(&request);
    struct cws_call *call = NULL;
    if (block && limit_opening(log))
        call = cws_call_start(channel, &options, &call_events, log);
    if (!call) {
        if (block)
            cws_block_settle(block, CWS_CLOSED);
        fail_for_memory(log);
        return;
    }
    log->loop_only.call = call;
    cws_trace_sent(log->trace);
    cws_call_send(call, block);
    cws_call_half_close(call);
    hold_back(log);
}

static void park_or_ask(struct cws_log *log)
{
    hold_back(log);
    if (atomic_load(&log->shared.held) >= CWS_LOG_UNREAD_MAX)
        log->loop_only.state = CWS_LOG_PARKED;
    else
        cws_log_ask(log);
}

/* ---- the end of the sandbox ----------------------------------------------------------------- */

static void linger(struct cws_log *log)
{
    log->loop_only.size_before = cws_output_received(&log->output);
    if (cws_timer_set(log->sandbox->loop, &log->loop_only.timer,
                      cws_clock_now_ns() + CWS_LOG_LINGER_NS) != CWS_OK)
        cws_log_end(log, CWS_LOG_CLOSED);
}

/* There may be more if bytes have arrived, or if unread ones keep the service from sending. */
static bool still_comes(struct cws_log *log)
{
    return cws_output_received(&log->output) != log->loop_only.size_before ||
           cws_output_held(&log->output) > 0;
}

static void on_timer(struct cws_timer *timer)
{
    struct cws_log *log = cws_container_of(timer, struct cws_log, loop_only.timer);
    if (log->loop_only.state == CWS_LOG_PAUSING)
        park_or_ask(log);
    else if (!log->loop_only.is_closing)
        cws_log_end(log, CWS_LOG_LOST); /* the call did not get a stream */
    else if (still_comes(log))
        linger(log);
    else
        cws_log_end(log, CWS_LOG_CLOSED);
}

static void end_tenant(struct cws_tenant *tenant, enum cws_eviction why)
{
    struct cws_log *log = cws_container_of(tenant, struct cws_log, loop_only.tenant);
    if (why == CWS_EVICTION_NOT_OPEN) {
        cws_log_end(log, CWS_LOG_NOT_OPEN);
    } else if (!log->loop_only.call) {
        cws_log_end(log, CWS_LOG_CLOSED);
    } else { /* the service ends the stream itself, and may have more to send before that */
        log->loop_only.is_closing = true;
        linger(log);
    }
}

/* ---- the start ------------------------------------------------------------------------------ */

static void send_tenant(struct cws_tenant *tenant)
{
    cws_log_ask(cws_container_of(tenant, struct cws_log, loop_only.tenant));
}

static const struct cws_tenant_kind tenant_kind = {.send = send_tenant, .end = end_tenant};

static void run_start(struct cws_task *task)
{
    struct cws_log *log = cws_container_of(task, struct cws_log, start_task);
    cws_sandbox_admit(log->sandbox, &log->loop_only.tenant);
}

static void run_cancel(struct cws_task *task)
{
    struct cws_log *log = cws_container_of(task, struct cws_log, cancel_task);
    cws_log_end(log, CWS_LOG_CANCELLED);
    if (atomic_load(&log->output.shared.closed))
        cws_output_discard(&log->output);
    cws_log_unref(log); /* the task's */
}

enum cws_status cws_log_start(struct cws_sandbox *sandbox, const struct cws_log_options *options,
                              struct cws_log **out_log)
{
    struct cws_log *log = cws_calloc(1, sizeof(*log));
    char *container = cws_strdup(options->container);
    if (!log || !container) {
        cws_free(log);
        cws_free(container);
        return CWS_NO_MEMORY;
    }
    cws_ref_init(&log->ref);
    cws_ref_get(&log->ref); /* the loop's, until the end */
    cws_future_init(&log->future);
    cws_output_init(&log->output);
    cws_output_keep_unread(&log->output, on_taken);
    cws_output_set_line_max(&log->output, CWS_LOG_LINE_MAX);
    cws_sandbox_ref(sandbox);
    log->sandbox = sandbox;
    log->container = container;
    log->follow = options->follow;
    log->timeout_s = options->timeout_s;
    log->trace = options->trace;
    log->loop_only.window = options->window;
    log->start_task.run = run_start;
    log->cancel_task.run = run_cancel;
    log->flow_task.run = run_flow;
    cws_tenant_init(&log->loop_only.tenant, &tenant_kind);
    cws_timer_init(&log->loop_only.timer, on_timer);
    atomic_init(&log->shared.phase, CWS_PHASE_LIVE);
    *out_log = log;
    cws_loop_post_here(sandbox->loop, &log->start_task);
    return CWS_OK;
}

bool cws_log_cancel(struct cws_log *log)
{
    bool first;
    bool cancelled = cws_phase_cancel(&log->shared.phase, &first);
    if (first) {
        cws_log_ref(log);
        cws_loop_post(log->sandbox->loop, &log->cancel_task);
    }
    return cancelled;
}
