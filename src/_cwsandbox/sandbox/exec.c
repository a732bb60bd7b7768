#include "sandbox/exec.h"

#include <string.h>

#include "base/alloc.h"
#include "io/guest.h"
#include "sandbox/cancel.h"
#include "sandbox/exec_wire.h"

/* How long a command's input waits for the ready frame at most. */
static const double READY_TIMEOUT_S = 5.0;
/* After the exit frame the peer has this long to end the stream by itself before it is reset. */
static const uint64_t LINGER_NS = 5 * CWS_NS_PER_S;

void cws_exec_ref(struct cws_exec *exec)
{
    cws_ref_get(&exec->ref);
}

void cws_exec_unref(struct cws_exec *exec)
{
    if (!exec || !cws_ref_put(&exec->ref))
        return;
    cws_sandbox_unref(exec->sandbox);
    cws_trace_unref(exec->trace);
    cws_output_done(&exec->out);
    cws_output_done(&exec->err);
    cws_input_done(&exec->input);
    cws_grpc_status_done(&exec->status);
    cws_free(exec->frame_code);
    cws_free(exec->loop_only.init);
    cws_free(exec->loop_only.cwd);
    cws_future_done(&exec->future);
    cws_free(exec);
}

static void hold(struct cws_input *input)
{
    cws_exec_ref(cws_container_of(input, struct cws_exec, input));
}

static void drop(struct cws_input *input)
{
    cws_exec_unref(cws_container_of(input, struct cws_exec, input));
}

static const struct cws_input_kind input_kind = {
    .hold = hold,
    .drop = drop,
    .message_max = CWS_EXEC_STDIN_MAX,
    .new_message = cws_exec_wire_stdin_block,
    .new_end = cws_exec_wire_close_block,
};

/* ---- the end -------------------------------------------------------------------------------- */

static bool has_ended(const struct cws_exec *exec)
{
    return exec->end != CWS_EXEC_RUNNING;
}

static void count(struct cws_exec *exec)
{
    struct cws_sandbox *sandbox = exec->sandbox;
    if (exec->is_helper)
        return;
    bool is_failure = exec->end != CWS_EXEC_EXITED || (exec->check && exec->exit_code != 0);
    if (is_failure)
        atomic_fetch_add(&sandbox->failures, 1);
    else if (exec->exit_code == 0)
        atomic_fetch_add(&sandbox->completed_ok, 1);
    else
        atomic_fetch_add(&sandbox->completed_nonzero, 1);
}

const char *cws_exec_end_name(enum cws_exec_end end)
{
    static const char *const names[] = {
        [CWS_EXEC_EXITED] = "exited",
        [CWS_EXEC_STATUS] = "status",
        [CWS_EXEC_FRAME] = "frame",
        [CWS_EXEC_NO_EXIT] = "no_exit",
        [CWS_EXEC_READY_TIMEOUT] = "ready_timeout",
        [CWS_EXEC_NOT_OPEN] = "not_open",
        [CWS_EXEC_CLOSED] = "closed",
        [CWS_EXEC_CANCELLED] = "cancelled",
    };
    return names[end];
}

static void end_trace(struct cws_exec *exec)
{
    cws_trace_end(exec->trace, &(struct cws_trace_end){
                                   .how = cws_exec_end_name(exec->end),
                                   .exit_code = exec->exit_code,
                                   .code = exec->status.code,
                                   .text = exec->status.message,
                                   .reason = exec->frame_code,
                               });
}

static void close_call(struct cws_exec *exec)
{
    struct cws_call *call = exec->loop_only.call;
    if (!call)
        return;
    if (exec->end == CWS_EXEC_EXITED) {
        /* The stream is left to end in good order: a reset for each exec would look like an
         * attack. */
        cws_call_half_close(call);
        if (cws_timer_set(exec->sandbox->loop, &exec->loop_only.timer,
                          cws_clock_now_ns() + LINGER_NS) == CWS_OK) {
            cws_exec_ref(exec); /* for the call, until on_status or the timer */
            return;
        }
    }
    exec->loop_only.call = NULL;
    cws_call_cancel(call);
}

/* Nothing happens when it has ended. */
static void end_exec(struct cws_exec *exec, enum cws_exec_end end)
{
    if (has_ended(exec))
        return;
    exec->end = cws_phase_end(&exec->shared.phase) ? CWS_EXEC_CANCELLED : end;
    cws_timer_cancel(exec->sandbox->loop, &exec->loop_only.timer);
    cws_tenant_leave(&exec->loop_only.tenant);
    count(exec);
    close_call(exec);
    if (exec->trace)
        end_trace(exec);
    cws_input_end(&exec->input, exec->end == CWS_EXEC_STATUS, &exec->future);
    /* After the future: who sees the end of the output can ask how the command ended. */
    cws_output_end(&exec->out);
    cws_output_end(&exec->err);
    cws_exec_unref(exec); /* the loop's */
}

static void fail_locally(struct cws_exec *exec, int code, const char *text)
{
    cws_grpc_status_set(&exec->status, code, "%s", text);
    end_exec(exec, CWS_EXEC_STATUS);
}

static void on_timer(struct cws_timer *timer)
{
    struct cws_exec *exec = cws_container_of(timer, struct cws_exec, loop_only.timer);
    if (!has_ended(exec) && !exec->loop_only.call) {
        fail_locally(exec, CWS_GRPC_DEADLINE_EXCEEDED, "the sandbox was not seen to run in time");
        return;
    }
    if (!has_ended(exec) && !cws_call_is_open(exec->loop_only.call))
        return; /* waits for a stream again: set anew when there is one */
    if (!has_ended(exec)) {
        cws_call_suspect(exec->loop_only.call);
        end_exec(exec, CWS_EXEC_READY_TIMEOUT);
        return;
    }
    struct cws_call *call = exec->loop_only.call;
    exec->loop_only.call = NULL;
    cws_call_cancel(call);
    cws_exec_unref(exec); /* the call's */
}

/* ---- frames --------------------------------------------------------------------------------- */

/* A terminal has one stream, whatever a frame calls it. */
static struct cws_output *output_of(struct cws_exec *exec, const struct cws_exec_frame *frame)
{
    return frame->kind == CWS_EXEC_FRAME_STDERR && !exec->tty ? &exec->err : &exec->out;
}

static void on_output(struct cws_exec *exec, struct cws_output *output, const uint8_t *data,
                      size_t len)
{
    if (cws_output_append(output, data, len) != CWS_OK)
        fail_locally(exec, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for the command's output");
    else if (output->kept == CWS_OUTPUT_UNREAD)
        cws_exec_flow_update(exec);
}

static void on_error_frame(struct cws_exec *exec, const struct cws_exec_frame *frame)
{
    cws_grpc_status_set(&exec->status, CWS_GRPC_UNKNOWN, "%s", frame->message);
    exec->status.local = false;
    if (*frame->code)
        exec->frame_code = cws_strdup(frame->code);
    end_exec(exec, CWS_EXEC_FRAME);
}

static void on_ready(struct cws_exec *exec)
{
    if (!exec->with_stdin || exec->input.loop_only.call)
        return;
    cws_timer_cancel(exec->sandbox->loop, &exec->loop_only.timer);
    cws_input_open(&exec->input, exec->loop_only.call);
}

static void on_message(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_exec *exec = ctx;
    struct cws_exec_frame frame;
    if (has_ended(exec))
        return;
    enum cws_status status = cws_exec_frame_parse(data, len, &frame);
    if (status != CWS_OK) {
        fail_locally(exec,
                     status == CWS_NO_MEMORY ? CWS_GRPC_RESOURCE_EXHAUSTED : CWS_GRPC_INTERNAL,
                     status == CWS_NO_MEMORY ? "out of memory for a message"
                                             : "a message from the peer could not be decoded");
        return;
    }
    cws_exec_ref(exec);
    switch (frame.kind) {
    case CWS_EXEC_FRAME_READY:
        on_ready(exec);
        break;
    case CWS_EXEC_FRAME_STDOUT:
    case CWS_EXEC_FRAME_STDERR:
        on_output(exec, output_of(exec, &frame), frame.data, frame.len);
        break;
    case CWS_EXEC_FRAME_EXIT:
        exec->exit_code = frame.exit_code;
        end_exec(exec, CWS_EXEC_EXITED);
        break;
    case CWS_EXEC_FRAME_ERROR:
        on_error_frame(exec, &frame);
        break;
    case CWS_EXEC_FRAME_NONE:
        break;
    }
    cws_exec_frame_done(&frame);
    cws_exec_unref(exec);
}

/* Output is stored as it arrives, not only once its message is whole. So it is not copied twice,
 * and output is not lost when a stream breaks off. */
static bool on_begun(void *ctx, const uint8_t *data, size_t len, size_t message_len)
{
    struct cws_exec *exec = ctx;
    struct cws_exec_frame frame;
    if (has_ended(exec) || !cws_exec_frame_begin(data, len, message_len, &frame))
        return false;
    exec->loop_only.piecewise = output_of(exec, &frame);
    exec->loop_only.head_len = len - frame.len;
    return true;
}

static void on_piece(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_exec *exec = ctx;
    size_t head_len = exec->loop_only.head_len;
    exec->loop_only.head_len = 0;
    if (has_ended(exec))
        return;
    cws_exec_ref(exec);
    on_output(exec, exec->loop_only.piecewise, data + head_len, len - head_len);
    cws_exec_unref(exec);
}

static void on_status(void *ctx, struct cws_grpc_status *status)
{
    struct cws_exec *exec = ctx;
    exec->loop_only.call = NULL;
    if (has_ended(exec)) { /* after the exit frame: how the stream ends no longer matters */
        cws_timer_cancel(exec->sandbox->loop, &exec->loop_only.timer);
        cws_exec_unref(exec); /* the call's */
        return;
    }
    bool ok = status->code == CWS_GRPC_OK;
    cws_grpc_status_move(&exec->status, status);
    end_exec(exec, ok ? CWS_EXEC_NO_EXIT : CWS_EXEC_STATUS);
}

/* The time for the ready frame begins when the service can have heard of the command. */
static void on_open(void *ctx)
{
    struct cws_exec *exec = ctx;
    if (!exec->with_stdin || has_ended(exec))
        return;
    double limit = exec->timeout_s >= 0 && exec->timeout_s < READY_TIMEOUT_S ? exec->timeout_s
                                                                             : READY_TIMEOUT_S;
    if (cws_timer_set(exec->sandbox->loop, &exec->loop_only.timer, cws_clock_deadline_ns(limit)) !=
        CWS_OK)
        fail_locally(exec, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a call");
}

static const struct cws_call_events call_events = {
    .on_message = on_message,
    .on_begun = on_begun,
    .on_piece = on_piece,
    .on_open = on_open,
    .on_status = on_status,
};

/* ---- the start ------------------------------------------------------------------------------ */

/* Of a time limit that begins now. */
static uint64_t deadline_ns(const struct cws_exec *exec)
{
    return exec->timeout_s < 0 ? CWS_NO_DEADLINE : cws_clock_deadline_ns(exec->timeout_s);
}

static void send_tenant(struct cws_tenant *tenant)
{
    struct cws_exec *exec = cws_container_of(tenant, struct cws_exec, loop_only.tenant);
    struct cws_sandbox *sandbox = exec->sandbox;
    if (exec->is_helper)
        cws_timer_cancel(sandbox->loop, &exec->loop_only.timer);
    struct cws_call_options options = {
        .deadline_ns = exec->is_helper ? exec->loop_only.deadline_ns : deadline_ns(exec),
        .holds_back = exec->out.kept == CWS_OUTPUT_UNREAD,
        .metadata = cws_trace_metadata(exec->trace),
    };
    struct cws_channel *channel =
        cws_sandbox_route(sandbox, tenant, CWS_DATA_STREAM_EXEC, &options);
    if (!channel) {
        fail_locally(exec, CWS_GRPC_UNAVAILABLE, CWS_ROUTE_NOT_PERMITTED);
        return;
    }
    const struct cws_exec_wire_target target = {
        .sandbox_id = sandbox->loop_only.id,
        .cwd = exec->loop_only.cwd,
        .extensions = cws_channel_extensions(channel),
    };
    struct cws_block *block =
        cws_exec_wire_init_block(exec->loop_only.init, exec->loop_only.init_len, &target);
    if (block)
        exec->loop_only.call = cws_call_start(channel, &options, &call_events, exec);
    if (!block || !exec->loop_only.call) {
        if (block)
            cws_block_settle(block, CWS_CLOSED);
        fail_locally(exec, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a call");
        return;
    }
    cws_trace_sent(exec->trace);
    cws_free(exec->loop_only.init);
    cws_free(exec->loop_only.cwd);
    exec->loop_only.init = NULL;
    exec->loop_only.cwd = NULL;
    cws_call_send(exec->loop_only.call, block);
    if (!exec->with_stdin)
        cws_call_half_close(exec->loop_only.call);
}

static void end_tenant(struct cws_tenant *tenant, enum cws_eviction why)
{
    end_exec(cws_container_of(tenant, struct cws_exec, loop_only.tenant),
             why == CWS_EVICTION_CLOSED ? CWS_EXEC_CLOSED : CWS_EXEC_NOT_OPEN);
}

static const struct cws_tenant_kind tenant_kind = {.send = send_tenant, .end = end_tenant};

static void run_start(struct cws_task *task)
{
    struct cws_exec *exec = cws_container_of(task, struct cws_exec, start_task);
    if (!exec->is_helper) {
        cws_sandbox_admit(exec->sandbox, &exec->loop_only.tenant);
        return;
    }
    exec->loop_only.deadline_ns = deadline_ns(exec);
    cws_exec_ref(exec); /* it may end here */
    cws_sandbox_admit(exec->sandbox, &exec->loop_only.tenant);
    if (!has_ended(exec) && !exec->loop_only.call &&
        cws_timer_set(exec->sandbox->loop, &exec->loop_only.timer, exec->loop_only.deadline_ns) !=
            CWS_OK)
        fail_locally(exec, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a time limit");
    cws_exec_unref(exec);
}

static void run_cancel(struct cws_task *task)
{
    struct cws_exec *exec = cws_container_of(task, struct cws_exec, cancel_task);
    end_exec(exec, CWS_EXEC_CANCELLED);
    cws_exec_unref(exec); /* the task's */
}

enum cws_status cws_exec_start(struct cws_sandbox *sandbox, const struct cws_exec_options *options,
                               struct cws_exec **out_exec)
{
    struct cws_exec *exec = cws_calloc(1, sizeof(*exec));
    if (!exec)
        return CWS_NO_MEMORY;
    const struct cws_exec_wire_command command = {
        .argv = options->argv,
        .argc = options->argc,
        .container = options->container,
        .env = options->env,
        .env_count = options->env_count,
        .tty = options->tty,
        .size = options->size,
    };
    enum cws_status status =
        cws_exec_wire_init(&command, &exec->loop_only.init, &exec->loop_only.init_len);
    if (status == CWS_OK && options->cwd && !(exec->loop_only.cwd = cws_strdup(options->cwd)))
        status = CWS_NO_MEMORY;
    if (status != CWS_OK) {
        cws_free(exec->loop_only.init);
        cws_free(exec);
        return status;
    }
    cws_ref_init(&exec->ref);
    cws_ref_get(&exec->ref); /* the loop's, until the end */
    cws_future_init(&exec->future);
    cws_output_init(&exec->out);
    cws_output_init(&exec->err);
    cws_exec_flow_init(exec, options);
    cws_input_init(&exec->input, &input_kind, sandbox->loop);
    cws_sandbox_ref(sandbox);
    exec->sandbox = sandbox;
    exec->with_stdin = options->with_stdin || options->tty;
    exec->tty = options->tty;
    exec->check = options->check;
    exec->is_helper = options->is_helper;
    exec->timeout_s = options->timeout_s;
    exec->trace = options->trace;
    exec->start_task.run = run_start;
    exec->cancel_task.run = run_cancel;
    cws_tenant_init(&exec->loop_only.tenant, &tenant_kind);
    cws_timer_init(&exec->loop_only.timer, on_timer);
    atomic_init(&exec->shared.phase, CWS_PHASE_LIVE);
    if (!exec->is_helper)
        atomic_fetch_add(&sandbox->exec_count, 1);
    *out_exec = exec;
    cws_loop_post_here(sandbox->loop, &exec->start_task);
    return CWS_OK;
}

bool cws_exec_cancel(struct cws_exec *exec)
{
    bool first;
    bool cancelled = cws_phase_cancel(&exec->shared.phase, &first);
    if (first) {
        cws_exec_ref(exec);
        cws_loop_post(exec->sandbox->loop, &exec->cancel_task);
    }
    return cancelled;
}

enum cws_status cws_exec_resize(struct cws_exec *exec, struct cws_exec_size size)
{
    struct cws_block *message = cws_exec_wire_resize_block(size);
    if (!message)
        return CWS_NO_MEMORY;
    cws_input_control(&exec->input, message);
    return CWS_OK;
}
