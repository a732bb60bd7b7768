/*
 * StreamExec: one command with its output as it comes and its input as it is sent.
 *
 *   client:  init · (stdin | resize)* · close? · half-close
 *   server:  ready · (output)* · exit · status OK
 *
 * With a terminal, a half-close without `close` before hangs up; resize is for terminals only. A
 * failure before or instead of the exit is a gRPC status. The start is put off to the end of the
 * loop's iteration: a client that half-closes right after init wants no input, and its command then
 * gets /dev/null instead of a pipe.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "sandboxes/command.h"
#include "service/calls.h"
#include "service/service.h"
#include "service/view.h"
#include "values/bounds.h"
#include "values/wire.h"

/* Macros in musl, fields of messages here. */
#undef stdin

/* Input that came before the command could take it; the client's credit bounds it long before. */
#define MAX_EARLY_STDIN (128 * CWSD_MIB)

struct stream_call {
    struct cws_server_call *call;
    cwsd_pb_stream_init *init; /* the first frame, once it came */
    struct cws_deferred starting;
    struct cwsd_command *command; /* NULL before it is asked for and after its end */
    bool started;
    bool paused;
    bool resized;     /* before the start: init has the new size */
    bool input_ended; /* by close or half-close */
    bool left;        /* with a terminal: the client went without close, so it is hung up */
    bool finished;    /* a status has been sent: what arrives now does not matter */
    struct cws_buf early_stdin;
    size_t owed; /* payload bytes whose credit the client has not got back yet */
};

/* Ends the call; may free the stream (when even the status cannot be sent): the last thing to do
 * with it. */
static void finish_fault(struct stream_call *stream, const struct cwsd_fault *fault)
{
    stream->finished = true;
    cws_list_remove(&stream->starting.node);
    cwsd_command_free(stream->command);
    stream->command = NULL;
    cwsd_fault_finish(fault, stream->call);
}

static void finish_memory(struct stream_call *stream)
{
    struct cwsd_fault fault;
    cwsd_fault_set_memory(&fault);
    finish_fault(stream, &fault);
}

static void pay(struct stream_call *stream)
{
    if (stream->owed)
        cws_server_call_consume(stream->call, stream->owed);
    stream->owed = 0;
}

static cwsd_pb_timestamp now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return cwsd_view_timestamp(time);
}

/* ---- from the command ----------------------------------------------------------------------- */

static enum cws_status feed(struct stream_call *stream, const uint8_t *data, size_t len)
{
    if (cwsd_command_write(stream->command, data, len) != CWS_OK)
        return CWS_NO_MEMORY;
    if (cwsd_command_stdin_pending(stream->command) <= CWSD_STDIN_HIGH_WATER)
        pay(stream); /* else on_stdin_drained does */
    return CWS_OK;
}

static void on_started(void *ctx)
{
    struct stream_call *stream = ctx;
    cwsd_pb_stream_response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    cwsd_pb_stream_ready ready = COREWEAVE__SANDBOX__V1__EXEC_STREAM_READY__INIT;
    cwsd_pb_timestamp time = now();
    ready.ready_time = &time;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_READY;
    response.ready = &ready;
    stream->started = true;
    if (!cwsd_service_send(stream->call, &response) ||
        (stream->early_stdin.len &&
         feed(stream, cws_buf_bytes(&stream->early_stdin), stream->early_stdin.len) != CWS_OK)) {
        finish_memory(stream);
        return;
    }
    cws_buf_done(&stream->early_stdin);
    struct cwsd_fault fault;
    if (stream->resized && !cwsd_command_resize(stream->command, stream->init->tty_width,
                                                stream->init->tty_height, &fault)) {
        finish_fault(stream, &fault);
        return;
    }
    if (stream->left)
        cwsd_command_hang_up(stream->command);
    else if (stream->input_ended)
        cwsd_command_close_stdin(stream->command);
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct stream_call *stream = ctx;
    cwsd_pb_stream_response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    cwsd_pb_stream_output output = COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__INIT;
    output.stream = is_stderr ? COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDERR
                              : COREWEAVE__SANDBOX__V1__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDOUT;
    output.data.data = (uint8_t *)data;
    output.data.len = len;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
    response.output = &output;
    if (!cwsd_service_send(stream->call, &response)) {
        finish_memory(stream);
        return;
    }
    if (!stream->paused && cws_server_call_pending(stream->call) > CWSD_STREAM_HIGH_WATER) {
        stream->paused = true;
        cwsd_command_pause(stream->command, true);
    }
}

static void on_stdin_drained(void *ctx)
{
    pay(ctx);
}

static void on_exited(void *ctx, int exit_code)
{
    struct stream_call *stream = ctx;
    cwsd_pb_stream_response response = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__INIT;
    cwsd_pb_stream_exit end = COREWEAVE__SANDBOX__V1__EXEC_STREAM_EXIT__INIT;
    cwsd_pb_timestamp time = now();
    end.exit_code = exit_code;
    end.completed_time = &time;
    response.message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_RESPONSE__MESSAGE_EXIT;
    response.exit = &end;
    stream->finished = true;
    cwsd_command_free(stream->command);
    stream->command = NULL;
    pay(stream);
    cwsd_service_answer(stream->call, &response);
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    finish_fault(ctx, fault);
}

static const struct cwsd_command_events command_events = {on_started, on_output, on_stdin_drained,
                                                          on_exited, on_failed};

/* ---- from the client ------------------------------------------------------------------------ */

static void start_command(struct cws_deferred *deferred)
{
    struct stream_call *stream = cws_container_of(deferred, struct stream_call, starting);
    struct cwsd_fault fault;
    const struct cwsd_command_request request = {
        .sandbox_id = stream->init->sandbox_id,
        .container = stream->init->container,
        .command = stream->init->command,
        .command_count = stream->init->n_command,
        .environment = CWSD_PAIRS(stream->init, env),
        .cwd = stream->init->cwd,
        .has_terminal = stream->init->tty,
        .columns = stream->init->tty_width,
        .rows = stream->init->tty_height,
    };
    bool with_stdin = !stream->input_ended || stream->early_stdin.len;
    stream->command = cwsd_command_start(cwsd_service_of(stream->call)->pool, &request, with_stdin,
                                         &command_events, stream, &fault);
    if (!stream->command)
        finish_fault(stream, &fault);
}

static bool take_init(struct stream_call *stream, cwsd_pb_stream_request *frame,
                      struct cwsd_fault *fault)
{
    if (stream->init)
        return cwsd_fault_set_invalid(fault, "init", "came a second time");
    if (!cwsd_service_check_sandbox(stream->call, frame->init->sandbox_id, fault))
        return false;
    stream->init = frame->init;
    frame->message_case = COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE__NOT_SET;
    frame->init = NULL;
    cws_loop_defer(cwsd_pool_loop(cwsd_service_of(stream->call)->pool), &stream->starting);
    return true;
}

static bool take_stdin(struct stream_call *stream, const ProtobufCBinaryData *data,
                       struct cwsd_fault *fault)
{
    if (stream->input_ended)
        return cwsd_fault_set_invalid(fault, "stdin", "came after close");
    enum cws_status status = CWS_OK;
    if (stream->started)
        status = feed(stream, data->data, data->len);
    else if (data->len)
        status = cws_buf_append(&stream->early_stdin, data->data, data->len);
    return status == CWS_OK || cwsd_fault_set_memory(fault);
}

static void end_input(struct stream_call *stream)
{
    if (!stream->input_ended && stream->started)
        cwsd_command_close_stdin(stream->command);
    stream->input_ended = true;
}

/* The client has half-closed. Without close before, nobody is at a terminal any more. */
static void leave(struct stream_call *stream)
{
    stream->left = stream->init->tty && !stream->input_ended;
    if (stream->left && stream->started)
        cwsd_command_hang_up(stream->command);
    else
        end_input(stream);
}

/* Before the start it waits. */
static bool take_resize(struct stream_call *stream, const cwsd_pb_stream_resize *resize,
                        struct cwsd_fault *fault)
{
    if (!stream->init->tty)
        return cwsd_fault_set_invalid(fault, "resize",
                                      "needs a command with a terminal (init.tty)");
    if (stream->started)
        return cwsd_command_resize(stream->command, resize->width, resize->height, fault);
    if (resize->width && resize->height) {
        stream->resized = true;
        stream->init->tty_width = resize->width;
        stream->init->tty_height = resize->height;
    }
    return true;
}

static bool take(struct stream_call *stream, cwsd_pb_stream_request *frame,
                 struct cwsd_fault *fault)
{
    if (frame->message_case == COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_INIT)
        return take_init(stream, frame, fault);
    if (!stream->init)
        return cwsd_fault_set_invalid(fault, "init", "must be the first frame");
    switch (frame->message_case) {
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN:
        return take_stdin(stream, &frame->stdin, fault);
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_CLOSE:
        end_input(stream);
        return true;
    case COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_RESIZE:
        return take_resize(stream, frame->resize, fault);
    default:
        return cwsd_fault_set_invalid(fault, "message", "is of no kind this daemon knows");
    }
}

static void start(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    struct stream_call *stream = cws_calloc(1, sizeof(*stream));
    if (!stream) {
        cwsd_fault_set_memory(&fault);
        cwsd_fault_finish(&fault, call);
        return;
    }
    stream->call = call;
    cws_list_init(&stream->starting.node);
    stream->starting.run = start_command;
    cws_buf_init(&stream->early_stdin, MAX_EARLY_STDIN);
    cws_server_call_set_user(call, stream);
}

static void message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct stream_call *stream = cws_server_call_user(call);
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    if (!stream || stream->finished)
        return; /* a status has been sent; nothing is read any more */
    stream->owed += len;
    cwsd_pb_stream_request *frame = cwsd_wire_unpack(
        &coreweave__sandbox__v1__exec_stream_request__descriptor, data, len, &fault);
    if (!frame || !take(stream, frame, &fault))
        finish_fault(stream, &fault);
    else if (frame->message_case != COREWEAVE__SANDBOX__V1__EXEC_STREAM_REQUEST__MESSAGE_STDIN)
        pay(stream); /* input is paid for when the command takes it */
    cwsd_wire_free(frame);
}

static void half_closed(struct cws_server_call *call)
{
    struct stream_call *stream = cws_server_call_user(call);
    struct cwsd_fault fault;
    if (!stream || stream->finished)
        return;
    if (stream->init) {
        leave(stream);
        return;
    }
    cwsd_fault_set_invalid(&fault, "init", "must be sent before the client's side is closed");
    finish_fault(stream, &fault);
}

static void drained(struct cws_server_call *call)
{
    struct stream_call *stream = cws_server_call_user(call);
    if (!stream || !stream->paused)
        return;
    stream->paused = false;
    if (stream->command)
        cwsd_command_pause(stream->command, false);
}

static void closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)why; /* cancelled, too late, lost or done: nobody waits for the command any more */
    struct stream_call *stream = cws_server_call_user(call);
    if (!stream)
        return;
    cws_list_remove(&stream->starting.node);
    cwsd_command_free(stream->command);
    cwsd_wire_free(stream->init);
    cws_buf_done(&stream->early_stdin);
    cws_free(stream);
}

const struct cws_server_method cwsd_call_stream_exec = {
    .path = CWSD_SANDBOX_SERVICE "StreamExec",
    .start = start,
    .message = message,
    .half_closed = half_closed,
    .drained = drained,
    .closed = closed,
    .manual_credit = true,
};
