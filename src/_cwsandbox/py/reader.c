#include "py/reader.h"

#include "py/await.h"
#include "py/handmade.h"
#include "py/text.h"

struct py_reader {
    PyObject_HEAD
    struct py_stream *stream; /* its operation is held */
    const struct py_item *item;
    PyObject *awaiter; /* of the item asked for last, to be used again; NULL before the first */
};

/* ---- life ----------------------------------------------------------------------------------- */

void py_stream_init(struct py_stream *stream, const struct py_stream_kind *kind, const char *name,
                    struct py_operation *op, struct cws_output *output)
{
    *stream = (struct py_stream){.kind = kind, .name = name, .op = op, .output = output};
}

static PyObject *op_of(PyObject *self)
{
    return (PyObject *)((struct py_reader *)self)->stream->op;
}

/* The child of a fork() leaves what was made before it as it is: the I/O thread may have held the
 * output's lock. */
static bool is_of_this_process(const struct py_stream *stream)
{
    return stream->op->generation == cws_loop_generation();
}

static PyObject *reader_new(struct py_stream *stream, const struct py_item *item)
{
    struct py_reader *reader =
        (struct py_reader *)PyType_GenericAlloc(stream->op->state->reader_type, 0);
    if (!reader)
        return NULL;
    Py_INCREF((PyObject *)stream->op);
    reader->stream = stream;
    reader->item = item;
    if (stream->readers++ == 0 && is_of_this_process(stream))
        cws_output_attach(stream->output);
    return (PyObject *)reader;
}

PyObject *py_reader_of(struct py_stream *stream)
{
    if (stream->reader)
        return Py_NewRef((PyObject *)stream->reader);
    PyObject *reader = reader_new(stream, stream->kind->item);
    stream->reader = (struct py_reader *)reader;
    return reader;
}

static int reader_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    if (((struct py_reader *)self)->stream) /* not yet while it is made */
        Py_VISIT(op_of(self));
    Py_VISIT(((struct py_reader *)self)->awaiter);
    return 0;
}

static int reader_clear(PyObject *self)
{
    Py_CLEAR(((struct py_reader *)self)->awaiter);
    return 0;
}

static void reader_dealloc(PyObject *self)
{
    struct py_reader *reader = (struct py_reader *)self;
    PyObject_GC_UnTrack(self);
    reader_clear(self);
    struct py_stream *stream = reader->stream;
    if (stream->reader == reader)
        stream->reader = NULL;
    if (--stream->readers == 0 && is_of_this_process(stream))
        cws_output_detach(stream->output);
    Py_DECREF((PyObject *)stream->op);
    py_object_free(self);
}

/* ---- items ---------------------------------------------------------------------------------- */

/* Text is cut where characters end. */
const struct py_item py_item_line = {.cut = CWS_OUTPUT_LINE, .make = py_text_of_line};
const struct py_item py_item_text = {.cut = CWS_OUTPUT_TEXT, .make = py_text_of_line};
const struct py_item py_item_bytes = {.cut = CWS_OUTPUT_BYTES, .make = py_bytes_of_line};

static PyObject *make_item(struct py_reader *reader, const struct cws_output_line *taken)
{
    PyObject *made = reader->item->make(taken);
    if (!made) /* out of memory: it is there for the next request */
        cws_output_put_back(reader->stream->output);
    return made;
}

/* Everything was handed out. A failure of the operation is raised once, so that cut-off output is
 * never taken for complete output. */
static enum py_poll poll_end(struct py_stream *stream, struct cws_observer *observer,
                             struct cws_waiters **out_waiters)
{
    if (stream->output->shared.closed || stream->has_failed)
        return PY_POLL_READY;
    enum py_poll how = py_operation_poll_done(stream->op, observer, out_waiters);
    if (how != PY_POLL_READY)
        return how;
    PyObject *failure;
    if (stream->kind->failure(stream->op, &failure) < 0)
        return PY_POLL_ERROR; /* the failure is still to be told */
    if (!failure)
        return PY_POLL_READY;
    Py_DECREF(failure);
    stream->has_failed = true;
    py_operation_raise_failure(stream->op);
    return PY_POLL_ERROR;
}

/* If the exception cannot be made, the next request tries again: output with a gap must not look
 * complete. */
static enum py_poll tell_gap(struct py_stream *stream)
{
    PyObject *error = stream->kind->gap_error(stream, stream->gap);
    if (error) {
        stream->gap = 0;
        py_exception_raise(error);
        Py_DECREF(error);
    }
    return PY_POLL_ERROR;
}

static enum py_poll poll_item(PyObject *self, struct cws_observer *observer,
                              struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_reader *reader = (struct py_reader *)self;
    struct py_stream *stream = reader->stream;
    *out_value = NULL;
    if (py_operation_check(stream->op) < 0)
        return PY_POLL_ERROR;
    if (stream->gap)
        return tell_gap(stream);
    struct cws_observer *wanted = stream->op->state->stopped ? NULL : observer;
    struct cws_output_line taken;
    switch (cws_output_take(stream->output, reader->item->cut, &taken, wanted)) {
    case CWS_OUTPUT_TAKEN:
        *out_value = make_item(reader, &taken);
        return *out_value ? PY_POLL_READY : PY_POLL_ERROR;
    case CWS_OUTPUT_EMPTY:
        if (observer && !wanted) {
            PyErr_SetString(
                PyExc_RuntimeError,
                "the interpreter is ending: no more output can come, as the I/O thread was "
                "shut down");
            return PY_POLL_ERROR;
        }
        if (observer)
            *out_waiters = &stream->output->waiters;
        return PY_POLL_PENDING;
    case CWS_OUTPUT_GAP:
        stream->gap = taken.len;
        return tell_gap(stream);
    case CWS_OUTPUT_NO_MEMORY:
        PyErr_NoMemory();
        return PY_POLL_ERROR;
    case CWS_OUTPUT_END:
        break;
    }
    return poll_end(stream, observer, out_waiters);
}

static struct cws_loop *loop_of(PyObject *self)
{
    return py_operation_loop(op_of(self));
}

/* A cancelled task has taken nothing, and the command goes on. */
static const struct py_waitable next_item = {.poll = poll_item, .loop = loop_of, .is_stream = true};

/* ---- methods -------------------------------------------------------------------------------- */

static PyObject *reader_next(PyObject *self)
{
    struct py_state *state = ((struct py_reader *)self)->stream->op->state;
    return py_wait(state, self, &next_item, -1);
}

static PyObject *reader_anext(PyObject *self)
{
    struct py_reader *reader = (struct py_reader *)self;
    return py_awaiter_again(&reader->awaiter, reader->stream->op->state, self, &next_item);
}

static PyObject *reader_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_stream *stream = ((struct py_reader *)self)->stream;
    if (py_operation_check(stream->op) < 0)
        return NULL;
    stream->kind->close(stream);
    Py_RETURN_NONE;
}

static PyObject *reader_chunks(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_stream *stream = ((struct py_reader *)self)->stream;
    const struct py_item *item =
        stream->kind->item == &py_item_bytes ? &py_item_bytes : &py_item_text;
    return py_operation_check(stream->op) < 0 ? NULL : reader_new(stream, item);
}

static PyObject *reader_bytes(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_stream *stream = ((struct py_reader *)self)->stream;
    return py_operation_check(stream->op) < 0 ? NULL : reader_new(stream, &py_item_bytes);
}

static PyObject *reader_repr(PyObject *self)
{
    const struct py_reader *reader = (const struct py_reader *)self;
    const struct py_stream *stream = reader->stream;
    const char *items = reader->item == &py_item_text    ? "chunks of "
                        : reader->item == &py_item_bytes ? "bytes of "
                                                         : "";
    return py_repr(self, "%s%s of %R%s", items, stream->name, op_of(self),
                   stream->output->shared.closed ? " closed" : "");
}

static PyMethodDef reader_methods[] = {
    {"chunks", reader_chunks, METH_NOARGS,
     PyDoc_STR("chunks($self)\n--\n\nIterate the text as it arrives, without waiting for the end "
               "of a line. Characters are never split.\n\nIt shares the cursor with the iteration "
               "of lines, which can be resumed at any time.")},
    {"_bytes", reader_bytes, METH_NOARGS,
     PyDoc_STR("_bytes($self)\n--\n\nIterate the bytes as they arrive, as they are. It shares the "
               "cursor with the iteration of lines.")},
    {"close", reader_close, METH_NOARGS,
     PyDoc_STR("close($self)\n--\n\nEnd the iteration, even for those who wait in it. A log or a "
               "terminal "
               "session ends, a command goes on.\n\n"
               "result() still has the output. With both streams closed, it has the first and the\n"
               "last 4 MiB of what each receives from then on; stdout_omitted_bytes and\n"
               "stderr_omitted_bytes say how much is missing in between.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR(
         "StreamReader(queue, loop_manager=None, *, cancel=None)\n--\n\n"
         "Iterates lines as they arrive: with `for` from threads, with `async for` from any\n"
         "event loop. The cursor is shared.\n\n"
         "Tests make one themselves: `queue` is any iterable, or an asyncio.Queue in which None\n"
         "is the end and an exception is raised. `loop_manager` waits for an empty queue, by its\n"
         "run_sync() or run_async() (default: None, only an event loop waits). `cancel` is called "
         "by\n"
         "close() (default: nothing is).\n\n"
         "TypeError for a queue that is neither.")},
    {Py_tp_new, py_handmade_new},
    {Py_tp_repr, reader_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, reader_next},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, reader_anext},
    {Py_tp_methods, reader_methods},
    {Py_tp_traverse, reader_traverse},
    {Py_tp_clear, reader_clear},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, reader_dealloc},
    {0, NULL},
};

PyType_Spec py_reader_spec = {
    .name = "cwsandbox.StreamReader",
    .basicsize = sizeof(struct py_reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = reader_slots,
};
