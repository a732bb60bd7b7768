#include "py/terminal.h"

#include "py/args.h"
#include "py/await.h"
#include "py/handmade.h"
#include "py/kind.h"

/* What the kernel can keep of a terminal's width and height. */
enum { EXTENT_MAX = 65535 };

/* ---- as an operation ------------------------------------------------------------------------ */

/* Nobody can see it any more: it is hung up, like a terminal whose window is closed. */
static void terminal_release(void *core)
{
    cws_exec_cancel(core);
    cws_exec_let_go(core);
}

static const struct py_source terminal_source = {
    .future = py_command_future,
    .take = py_command_take,
    .cancel = py_command_cancel,
    .release = terminal_release,
    .by_io_thread = true,
};

/* Without its output the session is of no use: closing it ends the session. */
static void output_close(const struct py_stream *stream)
{
    cws_exec_close_output(stream->op->core, stream->output);
    py_operation_cancel(stream->op);
}

static const struct py_stream_kind output_kind = {
    .item = &py_item_bytes,
    .failure = py_command_failure,
    .gap_error = py_command_gap_error,
    .close = output_close,
};

PyObject *py_terminal_new(struct py_state *state, struct cws_exec *exec, const struct py_home *home,
                          PyObject *words)
{
    PyObject *self = py_command_new(state->terminal_type, state, PY_KIND_TERMINAL, &terminal_source,
                                    exec, home, words);
    struct py_terminal *session = (struct py_terminal *)self;
    if (!session)
        return NULL;
    py_stream_init(&session->output, &output_kind, "output", &session->base.op, &exec->out);
    py_input_init(&session->input, py_command_failure, &session->base.op, &exec->input);
    return self;
}

static int terminal_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct py_terminal *)self)->input.error);
    return py_command_traverse(self, visit, arg);
}

static int terminal_clear(PyObject *self)
{
    Py_CLEAR(((struct py_terminal *)self)->input.error);
    return py_operation_clear(self);
}

static void terminal_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((struct py_terminal *)self)->input.error);
    py_command_dealloc(self);
}

/* ---- its size ------------------------------------------------------------------------------- */

static int take_extent(PyObject *value, const char *name, unsigned *out)
{
    if (!PyLong_Check(value) || PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, got %.200R", name, value);
        return -1;
    }
    int overflow;
    long characters = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow || characters < 1 || characters > EXTENT_MAX) {
        PyErr_Format(PyExc_ValueError, "%s must be at least 1 and at most %d, got %.200R", name,
                     EXTENT_MAX, value);
        return -1;
    }
    *out = (unsigned)characters;
    return 0;
}

int py_terminal_size(PyObject *width, PyObject *height, struct cws_exec_size *out_size)
{
    return take_extent(width, "width", &out_size->width) < 0 ||
                   take_extent(height, "height", &out_size->height) < 0
               ? -1
               : 0;
}

static PyObject *raise_ended(struct py_terminal *session)
{
    PyObject *reason = PyUnicode_FromString("ended");
    PyObject *error =
        reason ? py_kind_make_error(session->base.op.state, PY_KIND_WRITE, reason, Py_None) : NULL;
    Py_XDECREF(reason);
    if (error)
        py_exception_raise(error);
    Py_XDECREF(error);
    return NULL;
}

static PyObject *terminal_resize(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    static const char *const names[] = {"width", "height"};
    static const struct py_params params = {"resize", names, 2, 2, 2};
    struct py_terminal *session = (struct py_terminal *)self;
    PyObject *given[2];
    struct cws_exec_size size;
    if (py_operation_check(&session->base.op) < 0 ||
        py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        py_terminal_size(given[0], given[1], &size) < 0)
        return NULL;
    if (py_command_is_done(&session->base))
        return raise_ended(session);
    if (cws_exec_resize(py_command_exec(&session->base), size) != CWS_OK)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* ---- as a context manager ------------------------------------------------------------------- */

/* Done when the session has ended, also where its outcome was decided before. */
static enum py_poll poll_ended(PyObject *self, struct cws_observer *observer,
                               struct cws_waiters **out_waiters, PyObject **out_value)
{
    const struct py_operation *op = (const struct py_operation *)self;
    struct cws_future *future = py_command_future(op->core);
    bool is_ours = op->generation == cws_loop_generation() && !op->state->stopped;
    *out_value = Py_NewRef(Py_None);
    if (!is_ours || cws_future_is_done(future))
        return PY_POLL_READY;
    if (observer && !cws_future_observe(future, observer))
        return PY_POLL_READY;
    if (observer)
        *out_waiters = &future->waiters;
    Py_CLEAR(*out_value);
    return PY_POLL_PENDING;
}

static enum py_poll poll_itself(PyObject *self, struct cws_observer *Py_UNUSED(observer),
                                struct cws_waiters **Py_UNUSED(out_waiters), PyObject **out_value)
{
    *out_value = Py_NewRef(self);
    return PY_POLL_READY;
}

static const struct py_waitable ended = {
    .poll = poll_ended, .loop = py_operation_loop, .may_run_loop = true};
static const struct py_waitable itself = {.poll = poll_itself, .loop = py_operation_loop};

static PyObject *terminal_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return py_operation_check((struct py_operation *)self) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *terminal_aenter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_operation *op = (struct py_operation *)self;
    return py_operation_check(op) < 0 ? NULL : py_awaiter_new(op->state, self, &itself);
}

/* In the child of a fork() the session is still the parent's: the block is just left. */
static void hang_up(PyObject *self)
{
    struct py_operation *op = (struct py_operation *)self;
    if (op->generation == cws_loop_generation())
        py_operation_cancel(op);
}

static PyObject *terminal_exit(PyObject *self, PyObject *Py_UNUSED(exception))
{
    hang_up(self);
    return py_wait(((struct py_operation *)self)->state, self, &ended, -1);
}

static PyObject *terminal_aexit(PyObject *self, PyObject *Py_UNUSED(exception))
{
    hang_up(self);
    return py_awaiter_new(((struct py_operation *)self)->state, self, &ended);
}

/* ---- methods -------------------------------------------------------------------------------- */

static PyObject *terminal_output(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_terminal *session = (struct py_terminal *)self;
    return py_operation_check(&session->base.op) < 0 ? NULL : py_reader_of(&session->output);
}

static PyObject *terminal_stdin(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_terminal *session = (struct py_terminal *)self;
    return py_operation_check(&session->base.op) < 0 ? NULL : py_writer_of(&session->input);
}

static PyObject *terminal_write(PyObject *self, PyObject *data)
{
    return py_input_write(&((struct py_terminal *)self)->input, data);
}

static PyMethodDef terminal_methods[] = {
    {"write", terminal_write, METH_O,
     PyDoc_STR("write($self, data)\n--\n\nType `data`: stdin.write(data).")},
    {"resize", (PyCFunction)(void (*)(void))terminal_resize, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "resize($self, width, height)\n--\n\n"
         "Tell the terminal its size: `width` and `height` in characters, 1 to 65535. Returns at "
         "once.\n\n"
         "A size goes in front of input that still waits. Of several that wait only the newest is\n"
         "sent, and none after stdin.close(). TypeError and ValueError for what is no size;\n"
         "SandboxExecutionError after the end.")},
    {"wait", (PyCFunction)(void (*)(void))py_command_wait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "wait($self, timeout=None)\n--\n\nBlock for the exit code, at most `timeout` seconds "
         "(default: no limit); otherwise like result().")},
    {"__enter__", terminal_enter, METH_NOARGS, PyDoc_STR("__enter__($self)\n--\n\n")},
    {"__exit__", terminal_exit, METH_VARARGS,
     PyDoc_STR("__exit__($self, *exception)\n--\n\nEnd the session, as a terminal is hung up, and "
               "wait for that.")},
    {"__aenter__", terminal_aenter, METH_NOARGS, PyDoc_STR("__aenter__($self)\n--\n\n")},
    {"__aexit__", terminal_aexit, METH_VARARGS,
     PyDoc_STR(
         "__aexit__($self, *exception)\n--\n\nAs __exit__, without blocking the event loop.")},
    {NULL},
};

static PyGetSetDef terminal_getset[] = {
    {"output", terminal_output, NULL,
     PyDoc_STR("What the terminal shows, as bytes. Closing it ends the session."), NULL},
    {"stdin", terminal_stdin, NULL, PyDoc_STR("The keyboard: a StreamWriter."), NULL},
    {"returncode", py_command_returncode, NULL,
     PyDoc_STR("The exit code; None while it runs and after a failure."), NULL},
    {"command", py_command_words, NULL, PyDoc_STR("A copy of the command that it runs."), NULL},
    {"_sandbox", py_command_sandbox, NULL, PyDoc_STR("The SandboxCore it was started by."), NULL},
    {"_timeout", py_command_timeout, NULL,
     PyDoc_STR("The time limit in seconds, None without one."), NULL},
    {NULL},
};

static PyType_Slot terminal_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR(
         "TerminalSession(future, command, output, stdin, resize_queue)\n--\n\n"
         "A running command with a terminal. As a context manager it is ended at the end of the\n"
         "block.\n\n"
         "Tests make one themselves: `future` is a concurrent.futures.Future for its\n"
         "TerminalResult, `command` the argv, `output` its StreamReader, `stdin` its "
         "StreamWriter,\n"
         "and `resize_queue` an asyncio.Queue for the sizes that it is told.\n\n"
         "TypeError for a future that is none, or a command that is no sequence of strings.")},
    {Py_tp_new, py_handmade_new},
    {Py_tp_repr, py_command_repr},
    {Py_tp_methods, terminal_methods},
    {Py_tp_getset, terminal_getset},
    {Py_tp_traverse, terminal_traverse},
    {Py_tp_clear, terminal_clear},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, terminal_dealloc},
    {0, NULL},
};

PyType_Spec py_terminal_spec = {
    .name = "cwsandbox.TerminalSession",
    .basicsize = sizeof(struct py_terminal),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = terminal_slots,
};
