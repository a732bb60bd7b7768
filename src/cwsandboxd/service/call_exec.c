/* Exec: runs a command to its end and answers with what it wrote, cut at a limit. */
#include "base/alloc.h"
#include "base/buf.h"
#include "sandboxes/command.h"
#include "service/calls.h"
#include "service/service.h"
#include "service/unary.h"
#include "values/bounds.h"

/* stdout or stderr */
struct capture {
    struct cws_buf kept;
    int64_t produced;
};

struct exec_call {
    struct cws_server_call *call;
    cwsd_pb_exec_request *request;
    struct cwsd_command *command;
    struct capture out, err;
    bool out_of_memory;
};

static void finish_fault(struct exec_call *exec, const struct cwsd_fault *fault)
{
    cwsd_command_free(exec->command);
    exec->command = NULL;
    cwsd_fault_finish(fault, exec->call);
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
        finish_fault(exec, &fault);
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
    cwsd_service_answer(exec->call, &response);
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    finish_fault(ctx, fault);
}

static const struct cwsd_command_events command_events = {on_started, on_output, on_stdin_drained,
                                                          on_exited, on_failed};

static bool set_limit(struct exec_call *exec, struct cwsd_fault *fault)
{
    int32_t wanted = exec->request->max_output_bytes;
    if (wanted < 0)
        return cwsd_fault_set_invalid(fault, "max_output_bytes", "%d must not be negative",
                                      (int)wanted);
    size_t limit = wanted == 0 ? CWSD_DEFAULT_OUTPUT_BYTES : (size_t)wanted;
    if (limit > CWSD_MAX_OUTPUT_BYTES)
        limit = CWSD_MAX_OUTPUT_BYTES;
    exec->out.kept.ceiling = exec->err.kept.ceiling = limit;
    return true;
}

static void start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    cws_server_call_set_user(call, NULL);
    if (!cwsd_service_admit(call))
        return;
    struct exec_call *exec = cws_calloc(1, sizeof(*exec));
    if (!exec) {
        cwsd_fault_set_memory(&fault);
        cwsd_fault_finish(&fault, call);
        return;
    }
    exec->call = call;
    cws_buf_init(&exec->out.kept, 0);
    cws_buf_init(&exec->err.kept, 0);
    cws_server_call_set_user(call, exec);
}

static void message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct exec_call *exec = cws_server_call_user(call);
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    if (!exec || exec->request)
        return; /* refused at its start; or one message too many, which changes nothing */
    exec->request =
        cwsd_wire_unpack(&coreweave__sandbox__v1__exec_request__descriptor, data, len, &fault);
    if (exec->request && set_limit(exec, &fault)) {
        const struct cwsd_command_request request = {
            .sandbox_id = exec->request->sandbox_id,
            .container = exec->request->container,
            .command = exec->request->command,
            .command_count = exec->request->n_command,
            .environment = CWSD_PAIRS(exec->request, env),
        };
        exec->command = cwsd_command_start(cwsd_service_of(call)->pool, &request, false,
                                           &command_events, exec, &fault);
    }
    if (cwsd_fault_is_set(&fault))
        finish_fault(exec, &fault);
}

static void half_closed(struct cws_server_call *call)
{
    struct exec_call *exec = cws_server_call_user(call);
    if (!exec || exec->request)
        return;
    struct cwsd_fault fault;
    cwsd_fault_set(&fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST,
                   "the call ended without its request message");
    cwsd_fault_finish(&fault, call);
}

static void closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)why; /* whoever ended it: nobody waits for the command any more */
    struct exec_call *exec = cws_server_call_user(call);
    if (!exec)
        return;
    cwsd_command_free(exec->command);
    cwsd_wire_free(exec->request);
    cws_buf_done(&exec->out.kept);
    cws_buf_done(&exec->err.kept);
    cws_free(exec);
}

const struct cws_server_method cwsd_call_exec = {
    CWSD_SANDBOX_SERVICE "Exec", start, message, half_closed, cwsd_unary_drained, closed, false};
