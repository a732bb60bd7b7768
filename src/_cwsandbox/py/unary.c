#include "py/unary.h"

#include "grpc/call.h"
#include "py/args.h"
#include "py/errors.h"
#include "py/message.h"
#include "py/trace.h"
#include "sandbox/unary.h"

static struct cws_future *unary_future(void *core)
{
    return &((struct cws_unary *)core)->future;
}

static int unary_take(struct py_operation *op)
{
    const struct cws_unary *unary = op->core;
    const ProtobufCMessageDescriptor *reply = op->detail;
    if (unary->status.code != CWS_GRPC_OK) {
        op->error = py_rpc_error_new(op->state, "status", &unary->status, NULL, NULL);
        return op->error ? 0 : -1;
    }
    op->value = unary->only_connects ? Py_NewRef(Py_None)
                                     : py_message_unpack(reply, unary->reply, unary->reply_len);
    return op->value ? 0 : -1;
}

static bool unary_cancel(struct py_operation *op)
{
    return cws_unary_cancel(op->core);
}

static void unary_release(void *core)
{
    cws_unary_unref(core);
}

static const struct py_source unary_source = {
    .future = unary_future,
    .take = unary_take,
    .cancel = unary_cancel,
    .release = unary_release,
    .by_io_thread = true,
};

/* The request as a block with room for the gRPC prefix: the message is written straight into it. */
static struct cws_block *make_request(const ProtobufCMessageDescriptor *desc, PyObject *request)
{
    uint8_t *bytes;
    size_t len;
    const size_t headroom = offsetof(struct cws_block, data) + CWS_FRAME_PREFIX;
    if (py_message_from_python(desc, request, headroom, &bytes, &len) < 0)
        return NULL;
    struct cws_block *block = (struct cws_block *)bytes;
    cws_block_init(block, CWS_FRAME_PREFIX + len);
    return block;
}

PyObject *py_unary_start(struct py_state *state, struct cws_channel *channel, PyObject *subject,
                         PyObject *method, PyObject *request, double timeout_s)
{
    size_t len;
    const char *name = py_arg_text(method, "method", &len);
    if (!name)
        return NULL;
    char path[CWS_PROTO_PATH_MAX];
    const ProtobufCMethodDescriptor *desc = cws_proto_method_path(name, len, path);
    if (!desc) {
        PyErr_Format(PyExc_ValueError,
                     "method must be one of the service's, as \"Service/Method\", got %.200R",
                     method);
        return NULL;
    }
    struct cws_block *block = make_request(desc->input, request);
    if (!block)
        return NULL;
    struct cws_unary *unary;
    const struct py_trace_what what = {.kind = "unary", .subject = subject, .detail = method};
    struct cws_trace *trace;
    if (py_trace_begin(state, &what, &trace) < 0) {
        cws_block_settle(block, CWS_CLOSED);
        return NULL;
    }
    if (cws_unary_start(channel, path, block, timeout_s, trace, &unary) != CWS_OK) {
        py_trace_drop(trace);
        cws_block_settle(block, CWS_CLOSED);
        return PyErr_NoMemory();
    }
    struct py_operation *op = py_operation_new(state, &unary_source, unary);
    if (op)
        op->detail = desc->output;
    return (PyObject *)op;
}

PyObject *py_unary_connect(struct py_state *state, struct cws_channel *channel, double timeout_s)
{
    struct cws_unary *unary;
    if (cws_unary_start(channel, "", NULL, timeout_s, NULL, &unary) != CWS_OK)
        return PyErr_NoMemory();
    return (PyObject *)py_operation_new(state, &unary_source, unary);
}
