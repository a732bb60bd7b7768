#include "py/process.h"

#include "py/handmade.h"
#include "py/output.h"

/* ---- the outcome ---------------------------------------------------------------------------- */

static void exec_release(void *core)
{
    cws_exec_let_go(core);
}

static const struct py_source exec_source = {
    .future = py_command_future,
    .take = py_command_take,
    .cancel = py_command_cancel,
    .release = exec_release,
    .by_io_thread = true,
};

/* Nobody else has a use for it. */
static void helper_release(void *core)
{
    cws_exec_cancel(core);
    cws_exec_let_go(core);
}

static const struct py_source helper_source = {
    .future = py_command_future,
    .take = py_command_take,
    .cancel = py_command_cancel,
    .release = helper_release,
    .by_io_thread = true,
};

static void stand_in_release(void *core)
{
    cws_exec_unref(core);
}

static const struct py_source stand_in_source = {
    .future = py_command_future,
    .take = py_command_take,
    .cancel = py_command_cancel,
    .release = stand_in_release,
    .by_io_thread = true,
};

/* ---- its streams ---------------------------------------------------------------------------- */

static void stream_close(const struct py_stream *stream)
{
    cws_exec_close_output(stream->op->core, stream->output);
}

static const struct py_stream_kind stream_kind = {
    .item = &py_item_line,
    .failure = py_command_failure,
    .gap_error = py_command_gap_error,
    .close = stream_close,
};

/* A py_failure_fn: also an exit code may be one. */
static int helper_failure(struct py_operation *op, PyObject **out_failure)
{
    *out_failure = NULL;
    if (py_command_is_cancelled((const struct py_command *)op))
        return 0;
    if (py_operation_settle(op) < 0)
        return -1;
    *out_failure = Py_XNewRef(op->error);
    return 0;
}

static void helper_close(const struct py_stream *stream)
{
    stream_close(stream);
    py_operation_cancel(stream->op);
}

static const struct py_stream_kind helper_kind = {
    .item = &py_item_bytes,
    .failure = helper_failure,
    .gap_error = py_command_gap_error,
    .close = helper_close,
};

/* ---- life ----------------------------------------------------------------------------------- */

/* `how` says whether it keeps the output. As py_command_new. */
static struct py_process *process_make(struct py_state *state, const struct py_source *how,
                                       struct cws_exec *exec, const struct py_home *home,
                                       PyObject *words)
{
    enum py_kind kind = home->purpose ? PY_KIND_HELPER : PY_KIND_EXEC;
    return (struct py_process *)py_command_new(state->process_type, state, kind, how, exec, home,
                                               words);
}

PyObject *py_process_new(struct py_state *state, struct cws_exec *exec, const struct py_home *home,
                         PyObject *words)
{
    const struct py_stream_kind *kind = home->purpose ? &helper_kind : &stream_kind;
    struct py_process *process =
        process_make(state, home->purpose ? &helper_source : &exec_source, exec, home, words);
    if (!process)
        return NULL;
    py_stream_init(&process->streams[PY_STDOUT], kind, "stdout", &process->base.op, &exec->out);
    py_stream_init(&process->streams[PY_STDERR], kind, "stderr", &process->base.op, &exec->err);
    return (PyObject *)process;
}

/* The principal's own exception while there is one, so that all who ask get the same. */
static int stand_in_failure(struct py_operation *op, PyObject **out_failure)
{
    struct py_process *principal = ((struct py_process *)op)->principal;
    if (!principal)
        return py_command_failure(op, out_failure);
    Py_INCREF((PyObject *)principal);
    int rc = py_command_failure(&principal->base.op, out_failure);
    Py_DECREF((PyObject *)principal);
    return rc;
}

static bool is_stand_in(const struct py_process *process)
{
    return process->base.op.source == &stand_in_source;
}

/* Borrowed, made if need be. NULL with an exception set. */
static struct py_process *stand_in_for(struct py_process *process)
{
    if (process->stand_in || is_stand_in(process))
        return process->stand_in ? process->stand_in : process;
    struct cws_exec *exec = process->base.op.core;
    cws_exec_ref(exec);
    struct py_process *made = process_make(process->base.op.state, &stand_in_source, exec,
                                           &process->base.home, process->base.words);
    if (!made)
        return NULL;
    py_input_init(&made->input, stand_in_failure, &made->base.op, &exec->input);
    made->principal = process;
    process->stand_in = made;
    return made;
}

static int process_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_process *process = (struct py_process *)self;
    Py_VISIT((PyObject *)process->stand_in);
    Py_VISIT(process->input.error);
    return py_command_traverse(self, visit, arg);
}

static int process_clear(PyObject *self)
{
    struct py_process *process = (struct py_process *)self;
    Py_CLEAR(process->input.error);
    return py_operation_clear(self);
}

static void process_dealloc(PyObject *self)
{
    struct py_process *process = (struct py_process *)self;
    PyObject_GC_UnTrack(self);
    if (process->stand_in)
        process->stand_in->principal = NULL;
    Py_XDECREF((PyObject *)process->stand_in);
    Py_CLEAR(process->input.error);
    Py_CLEAR(process->output);
    py_command_dealloc(self);
}

/* ---- methods -------------------------------------------------------------------------------- */

static PyObject *process_poll(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->base.op) < 0)
        return NULL;
    if (!py_command_is_done(&process->base))
        Py_RETURN_NONE;
    if (py_command_has_exited(&process->base))
        return PyLong_FromLong(py_command_exec(&process->base)->exit_code);
    if (py_command_is_cancelled(&process->base))
        Py_RETURN_NONE;
    py_operation_raise_failure(&process->base.op);
    return NULL;
}

static PyObject *process_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->base.op) < 0)
        return NULL;
    return PyBool_FromLong(py_operation_cancel(&process->base.op));
}

static PyObject *process_output(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->base.op) < 0)
        return NULL;
    if (!process->output)
        process->output = py_output_new(process->base.op.state, py_command_exec(&process->base));
    return Py_XNewRef(process->output);
}

/* A stand-in is seen only by what makes the failure of a write whose Process is gone. */
static PyObject *reader_of(PyObject *self, int which)
{
    struct py_process *process = (struct py_process *)self;
    if (!is_stand_in(process))
        return py_reader_of(&process->streams[which]);
    PyErr_SetString(PyExc_RuntimeError, "the output was let go with the Process");
    return NULL;
}

static PyObject *process_stdout(PyObject *self, void *Py_UNUSED(closure))
{
    return reader_of(self, PY_STDOUT);
}

static PyObject *process_stderr(PyObject *self, void *Py_UNUSED(closure))
{
    return reader_of(self, PY_STDERR);
}

static PyObject *process_stdin(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->base.op) < 0)
        return NULL;
    if (!py_command_exec(&process->base)->with_stdin)
        Py_RETURN_NONE;
    struct py_process *stand_in = stand_in_for(process);
    return stand_in ? py_writer_of(&stand_in->input) : NULL;
}

static PyMethodDef process_methods[] = {
    {"poll", process_poll, METH_NOARGS,
     PyDoc_STR("poll($self)\n--\n\nThe exit code; None while it runs and after cancel(). Raises "
               "the failure of a failed process. Never blocks.")},
    {"wait", (PyCFunction)(void (*)(void))py_command_wait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "wait($self, timeout=None)\n--\n\nBlock for the exit code, at most `timeout` seconds "
         "(default: no limit); otherwise like result().")},
    {"cancel", process_cancel, METH_NOARGS,
     PyDoc_STR("cancel($self)\n--\n\nEnd the command. True, even when repeated; False if it had "
               "already ended.")},
    {NULL},
};

static PyObject *process_purpose(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *purpose = ((struct py_process *)self)->base.home.purpose;
    return Py_NewRef(purpose ? purpose : Py_None);
}

static PyGetSetDef process_getset[] = {
    {"stdout", process_stdout, NULL, PyDoc_STR("Standard output, line by line."), NULL},
    {"stderr", process_stderr, NULL, PyDoc_STR("Standard error, line by line."), NULL},
    {"stdin", process_stdin, NULL,
     PyDoc_STR("Standard input, a StreamWriter; None without exec(..., stdin=True)."), NULL},
    {"returncode", py_command_returncode, NULL,
     PyDoc_STR("The exit code; None while it runs and after a failure."), NULL},
    {"command", py_command_words, NULL, PyDoc_STR("A copy of the command that it runs."), NULL},
    {"_output", process_output, NULL,
     PyDoc_STR("What it has printed: an Output, which does not keep this object."), NULL},
    {"_sandbox", py_command_sandbox, NULL, PyDoc_STR("The SandboxCore it was started by."), NULL},
    {"_purpose", process_purpose, NULL,
     PyDoc_STR("What a helper command is a part of; None: it is the user's own."), NULL},
    {"_timeout", py_command_timeout, NULL,
     PyDoc_STR("The time limit in seconds, None without one."), NULL},
    {NULL},
};

static PyType_Slot process_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR(
         "Process(future, command, stdout, stderr, stdin=None, stats_callback=None)\n--\n\n"
         "A running command, as sandbox.exec() gives it.\n\n"
         "Tests make one themselves: `future` is a concurrent.futures.Future for its "
         "ProcessResult,\n"
         "`command` the argv, `stdout` and `stderr` are its StreamReaders, `stdin` is its\n"
         "StreamWriter (default: None, it has none), and `stats_callback` is called once at the "
         "end\n"
         "with the result and the exception, one of which is None (default: nothing is called).\n\n"
         "TypeError for a future that is none, or a command that is no sequence of strings.")},
    {Py_tp_new, py_handmade_new},
    {Py_tp_repr, py_command_repr},
    {Py_tp_methods, process_methods},
    {Py_tp_getset, process_getset},
    {Py_tp_traverse, process_traverse},
    {Py_tp_clear, process_clear},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, process_dealloc},
    {0, NULL},
};

PyType_Spec py_process_spec = {
    .name = "cwsandbox.Process",
    .basicsize = sizeof(struct py_process),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = process_slots,
};
