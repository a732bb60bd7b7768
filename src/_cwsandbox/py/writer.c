#include "py/writer.h"

#include "py/args.h"
#include "py/handmade.h"
#include "py/kind.h"

struct py_writer {
    PyObject_HEAD
    struct py_input *input; /* its operation is held */
};

void py_input_init(struct py_input *input, py_failure_fn *failure, struct py_operation *op,
                   struct cws_input *queue)
{
    *input = (struct py_input){.failure = failure, .op = op, .queue = queue};
}

PyObject *py_writer_of(struct py_input *input)
{
    if (input->writer)
        return Py_NewRef((PyObject *)input->writer);
    struct py_writer *writer =
        (struct py_writer *)PyType_GenericAlloc(input->op->state->writer_type, 0);
    if (!writer)
        return NULL;
    Py_INCREF((PyObject *)input->op);
    writer->input = input;
    input->writer = writer;
    return (PyObject *)writer;
}

static int writer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    struct py_input *input = ((struct py_writer *)self)->input;
    if (input) /* not yet while it is made */
        Py_VISIT((PyObject *)input->op);
    return 0;
}

static void writer_dealloc(PyObject *self)
{
    struct py_input *input = ((struct py_writer *)self)->input;
    PyObject_GC_UnTrack(self);
    input->writer = NULL;
    Py_DECREF((PyObject *)input->op);
    py_object_free(self);
}

/* ---- one write as an operation -------------------------------------------------------------- */

/* For `reason` and the operation's failure (NULL: none). NULL with another exception set. */
static PyObject *new_write_error(struct py_state *state, const char *reason, PyObject *failure)
{
    PyObject *text = PyUnicode_FromString(reason);
    if (!text)
        return NULL;
    PyObject *error = py_kind_make_error(state, PY_KIND_WRITE, text, failure ? failure : Py_None);
    Py_DECREF(text);
    return error;
}

/* The operation is over: why its input cannot be written is why it has ended. */
static PyObject *new_ended_error(const struct py_input *input)
{
    PyObject *failure;
    if (input->failure(input->op, &failure) < 0)
        return NULL;
    PyObject *error = new_write_error(input->op->state, "failed", failure);
    Py_XDECREF(failure);
    return error;
}

/* Raises `error`, because of `cause` (may be NULL). It is stolen; NULL is a failure that has its
 * exception already. Returns NULL. */
static PyObject *raise_made(PyObject *error, PyObject *cause)
{
    if (!error)
        return NULL;
    if (cause)
        PyException_SetCause(error, Py_NewRef(cause));
    py_exception_raise(error);
    Py_DECREF(error);
    return NULL;
}

static struct cws_future *write_future(void *core)
{
    return &((struct cws_write *)core)->future;
}

static int write_take(struct py_operation *op)
{
    if (((const struct cws_write *)op->core)->how == CWS_OK)
        op->value = Py_NewRef(Py_None);
    else if (op->attached)
        op->error = new_ended_error(op->detail);
    else /* found by the cycle collector, and asked for all the same */
        op->error = new_write_error(op->state, "failed", NULL);
    return op->value || op->error ? 0 : -1;
}

/* Queued input is sent even if nobody waits for it any more; otherwise the input would have a
 * hole. */
static bool write_cancel(struct py_operation *Py_UNUSED(op))
{
    return false;
}

static void write_release(void *core)
{
    cws_write_unref(core);
}

static const struct py_source write_source = {
    .future = write_future,
    .take = write_take,
    .cancel = write_cancel,
    .release = write_release,
    .by_io_thread = true,
};

/* It keeps the operation whose input it is, and with it the input. */
static PyObject *write_operation(const struct py_input *input, struct cws_write *write)
{
    struct py_operation *op = py_operation_new(input->op->state, &write_source, write);
    if (!op)
        return NULL;
    op->attached = Py_NewRef((PyObject *)input->op);
    op->detail = input;
    return (PyObject *)op;
}

/* The operation of what the core has queued, or the exception for why it was not. */
static PyObject *begin_write(const struct py_input *input, enum cws_status status,
                             struct cws_write *write)
{
    struct py_state *state = input->op->state;
    switch (status) {
    case CWS_OK:
        return write_operation(input, write);
    case CWS_NO_MEMORY:
        return PyErr_NoMemory();
    case CWS_CLOSED:
        return raise_made(new_write_error(state, "closed", NULL), NULL);
    default:
        if (input->error)
            return raise_made(new_write_error(state, "failed", NULL), input->error);
        return raise_made(new_ended_error(input), NULL);
    }
}

static PyObject *write_bytes(const struct py_input *input, const void *data, size_t len)
{
    struct cws_write *write = NULL;
    enum cws_status status;
    Py_BEGIN_ALLOW_THREADS
    status = cws_input_write(input->queue, data, len, &write);
    Py_END_ALLOW_THREADS
    return begin_write(input, status, write);
}

/* ---- methods -------------------------------------------------------------------------------- */

static struct py_input *input_of(PyObject *self)
{
    struct py_input *input = ((struct py_writer *)self)->input;
    return py_operation_check(input->op) < 0 ? NULL : input;
}

PyObject *py_input_write(const struct py_input *input, PyObject *data)
{
    Py_buffer view;
    if (py_operation_check(input->op) < 0)
        return NULL;
    if (!PyObject_CheckBuffer(data)) {
        py_arg_refuse_secret("data", "bytes, bytearray or memoryview", data);
        return NULL;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *op = write_bytes(input, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return op;
}

static PyObject *writer_write(PyObject *self, PyObject *data)
{
    return py_input_write(((struct py_writer *)self)->input, data);
}

static PyObject *writer_writeline(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames)
{
    static const char *const names[] = {"text", "encoding"};
    static const struct py_params params = {"writeline", names, 2, 2, 1};
    PyObject *given[2];
    struct py_input *input = input_of(self);
    if (!input || py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    const char *encoding = given[1] ? py_arg_text(given[1], "encoding", NULL) : "utf-8";
    if (!encoding)
        return NULL;
    if (!PyUnicode_Check(given[0])) {
        py_arg_refuse_secret("text", "a str", given[0]);
        return NULL;
    }
    PyObject *line = PyUnicode_FromFormat("%U\n", given[0]);
    PyObject *bytes = line ? PyUnicode_AsEncodedString(line, encoding, "strict") : NULL;
    Py_XDECREF(line);
    if (!bytes)
        return NULL;
    PyObject *op = write_bytes(input, PyBytes_AsString(bytes), (size_t)PyBytes_Size(bytes));
    Py_DECREF(bytes);
    return op;
}

static PyObject *writer_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_input *input = input_of(self);
    if (!input)
        return NULL;
    struct cws_write *write = NULL;
    enum cws_status status = cws_input_close(input->queue, &write);
    return begin_write(input, status, write);
}

static PyObject *writer_set_exception(PyObject *self, PyObject *exception)
{
    struct py_input *input = input_of(self);
    if (!input)
        return NULL;
    if (!py_is_exception(exception)) {
        PyErr_Format(PyExc_TypeError, "exception must be an exception instance, got %.200R",
                     exception);
        return NULL;
    }
    PyObject *before = input->error;
    input->error = Py_NewRef(exception);
    Py_XDECREF(before);
    cws_input_set_failed(input->queue);
    Py_RETURN_NONE;
}

static PyObject *writer_closed(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_input *input = input_of(self);
    if (!input)
        return NULL;
    return PyBool_FromLong(cws_input_is_closed(input->queue));
}

static PyObject *writer_repr(PyObject *self)
{
    const struct py_input *input = ((struct py_writer *)self)->input;
    bool known = input->op->generation == cws_loop_generation();
    return py_repr(self, "stdin of %R%s", (PyObject *)input->op,
                   known && cws_input_is_closed(input->queue) ? " closed" : "");
}

static PyMethodDef writer_methods[] = {
    {"write", writer_write, METH_O,
     PyDoc_STR(
         "write($self, data)\n--\n\n"
         "Queue `data`, which is bytes, a bytearray or a memoryview.\n\n"
         "The operation is done when flow control has let all of them pass to the connection.\n"
         "TypeError for a str; SandboxExecutionError if the input is closed or the command has\n"
         "ended; if the command has failed, its failure.")},
    {"writeline", (PyCFunction)(void (*)(void))writer_writeline, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("writeline($self, text, encoding='utf-8')\n--\n\nQueue a line: `text`, a str, and a "
               "newline, in `encoding` (default: UTF-8). Otherwise like write().")},
    {"close", writer_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nEnd the input once everything queued has been sent.")},
    {"set_exception", writer_set_exception, METH_O,
     PyDoc_STR("set_exception($self, exception)\n--\n\nMake all later writes fail because of "
               "`exception`.")},
    {NULL},
};

static PyGetSetDef writer_getset[] = {
    {"closed", writer_closed, NULL, PyDoc_STR("Whether close() was called."), NULL},
    {NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR(
         "StreamWriter(queue, loop_manager=None)\n--\n\n"
         "Standard input of a command.\n\n"
         "Tests make one themselves: what is written goes into `queue`, an asyncio.Queue, and\n"
         "None after it at the end. `loop_manager` waits for a full queue, by its run_async()\n"
         "(default: None, a full queue is asyncio.QueueFull).\n\n"
         "TypeError for a queue that is none.")},
    {Py_tp_new, py_handmade_new},
    {Py_tp_repr, writer_repr},
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_getset},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, writer_dealloc},
    {0, NULL},
};

PyType_Spec py_writer_spec = {
    .name = "cwsandbox.StreamWriter",
    .basicsize = sizeof(struct py_writer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = writer_slots,
};
