/* Exec: runs a command to its end and answers with what it wrote, cut at a limit. */
#include "base/buf.h"
#include "sandboxes/command.h"
#include "service/calls.h"
#include "service/unary.h"
#include "values/bounds.h"

/* Macros in musl, fields of messages here. */
#undef stdout
#undef stderr

/* stdout or stderr */
struct capture {
    struct cws_buf kept;
    int64_t produced;
};

struct exec_call {
    struct cwsd_unary unary;
    struct cwsd_command *command;
    struct capture out, err;
    bool out_of_memory;
};

/* Ends the call, and may free the exec. */
static void fail(struct exec_call *exec, const struct cwsd_fault *fault)
{
    cwsd_command_free(exec->command);
    exec->command = NULL;
    cwsd_unary_fail(&exec->unary, fault);
}

static void on_started(void *ctx)
{
    (void)ctx;
}

static void on_stdin_drained(void *ctx)
{
    (void)ctx;
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct exec_call *exec = ctx;
    struct capture *capture = is_stderr ? &exec->err : &exec->out;
    size_t room = capture->kept.ceiling - capture->kept.len;
    size_t keep = len < room ? len : room;
    capture->produced += (int64_t)len;
    if (keep && cws_buf_append(&capture->kept, data, keep) != CWS_OK)
        exec->out_of_memory = true; /* told at the end: the command is not to blame */
}

static ProtobufCBinaryData captured(const struct capture *capture)
{
    ProtobufCBinaryData bytes = {capture->kept.len, (uint8_t *)cws_buf_bytes(&capture->kept)};
    return bytes;
}

static void on_exited(void *ctx, int exit_code)
{
    struct exec_call *exec = ctx;
    struct cwsd_fault fault;
    cwsd_pb_exec_response response = COREWEAVE__SANDBOX__V1__EXEC_RESPONSE__INIT;
    if (exec->out_of_memory) {
        cwsd_fault_set_memory(&fault);
        fail(exec, &fault);
        return;
    }
    cwsd_command_free(exec->command);
    exec->command = NULL;
    response.stdout = captured(&exec->out);
    response.stderr = captured(&exec->err);
    response.exit_code = exit_code;
    response.stdout_bytes_produced = exec->out.produced;
    response.stderr_bytes_produced = exec->err.produced;
    response.stdout_truncated = exec->out.produced > (int64_t)exec->out.kept.len;
    response.stderr_truncated = exec->err.produced > (int64_t)exec->err.kept.len;
    cwsd_unary_answer(&exec->unary, &response);
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    fail(ctx, fault);
}

static const struct cwsd_command_events command_events = {on_started, on_output, on_stdin_drained,
                                                          on_exited, on_failed};

static bool set_limit(struct exec_call *exec, int32_t wanted, struct cwsd_fault *fault)
{
    if (wanted < 0)
        return cwsd_fault_set_invalid(fault, "max_output_bytes", "%d must not be negative",
                                      (int)wanted);
    size_t limit = wanted == 0 ? CWSD_DEFAULT_OUTPUT_BYTES : (size_t)wanted;
    if (limit > CWSD_MAX_OUTPUT_BYTES)
        limit = CWSD_MAX_OUTPUT_BYTES;
    cws_buf_init(&exec->out.kept, limit);
    cws_buf_init(&exec->err.kept, limit);
    return true;
}

static bool handle_exec(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct exec_call *exec = cws_container_of(unary, struct exec_call, unary);
    const cwsd_pb_exec_request *request = message;
    if (!set_limit(exec, request->max_output_bytes, fault))
        return false;
    const struct cwsd_command_request command = {
        .sandbox_id = request->sandbox_id,
        .container = request->container,
        .command = request->command,
        .command_count = request->n_command,
        .environment = CWSD_PAIRS(request, env),
        .cwd = request->cwd,
    };
    exec->command =
        cwsd_command_start(cwsd_unary_pool(unary), &command, false, &command_events, exec, fault);
    return exec->command != NULL;
}

/* Whoever ended it: nobody waits for the command any more. */
static void exec_closed(struct cwsd_unary *unary)
{
    struct exec_call *exec = cws_container_of(unary, struct exec_call, unary);
    cwsd_command_free(exec->command);
    cws_buf_done(&exec->out.kept);
    cws_buf_done(&exec->err.kept);
}

const struct cwsd_unary_row cwsd_exec_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "Exec",
     .handle = handle_exec,
     .size = sizeof(struct exec_call),
     .closed = exec_closed},
    {.path = NULL},
};
