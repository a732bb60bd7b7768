#include "py/process.h"

#include "py/args.h"
#include "py/errors.h"
#include "py/kind.h"
#include "py/output.h"

/* ---- the outcome ---------------------------------------------------------------------------- */

static struct cws_future *exec_future(void *core)
{
    return &((struct cws_exec *)core)->future;
}

static const char *failure_kind(enum cws_exec_end end)
{
    switch (end) {
    case CWS_EXEC_FRAME:
        return "frame";
    case CWS_EXEC_NO_EXIT:
        return "no_exit";
    case CWS_EXEC_READY_TIMEOUT:
        return "ready_timeout";
    case CWS_EXEC_NOT_OPEN:
        return "not_open";
    case CWS_EXEC_CLOSED:
        return "closed";
    default:
        return "status";
    }
}

/* Borrowed: the exception that Python gave to fail() or close(); NULL for other ends. */
static PyObject *sandbox_failure(const struct py_process *process, enum cws_exec_end end)
{
    const struct py_process_home *home = &process->home;
    if (end == CWS_EXEC_CLOSED)
        return home->closed_by(home->sandbox);
    if (end == CWS_EXEC_NOT_OPEN && PyList_Size(home->failures) > 0)
        return PyList_GetItem(home->failures, 0);
    return NULL;
}

/* NULL with another exception set. */
static PyObject *new_error(struct py_process *process, const char *kind,
                           const struct cws_grpc_status *status, const char *code,
                           PyObject *failure)
{
    struct py_state *state = process->op.state;
    PyObject *error = py_rpc_error_new(state, kind, status, code, failure);
    if (!error)
        return NULL;
    PyObject *made = py_kind_make_error(state, PY_KIND_EXEC, (PyObject *)process, error);
    Py_DECREF(error);
    return made;
}

static int take_failure(struct py_process *process)
{
    const struct cws_exec *exec = py_process_exec(process);
    if (exec->end == CWS_EXEC_CANCELLED) {
        process->op.cancelled = true;
        return 0;
    }
    process->op.error = new_error(process, failure_kind(exec->end), &exec->status, exec->frame_code,
                                  sandbox_failure(process, exec->end));
    return process->op.error ? 0 : -1;
}

static int exec_take(struct py_operation *op)
{
    struct py_process *process = (struct py_process *)op;
    const struct cws_exec *exec = op->core;
    if (exec->end != CWS_EXEC_EXITED)
        return take_failure(process);
    PyObject *code = PyLong_FromLong(exec->exit_code);
    if (!code)
        return -1;
    PyObject *made =
        PyObject_CallFunctionObjArgs(op->state->makers[PY_KIND_EXEC].value, (PyObject *)process,
                                     code, exec->check ? Py_True : Py_False, NULL);
    Py_DECREF(code);
    if (!made)
        return -1;
    *(py_is_exception(made) ? &op->error : &op->value) = made;
    return 0;
}

static bool exec_cancel(struct py_operation *op)
{
    return cws_exec_cancel(op->core);
}

static void exec_release(void *core)
{
    cws_exec_let_go(core);
}

static const struct py_source exec_source = {
    .future = exec_future,
    .take = exec_take,
    .cancel = exec_cancel,
    .release = exec_release,
    .by_io_thread = true,
};

static void stand_in_release(void *core)
{
    cws_exec_unref(core);
}

static const struct py_source stand_in_source = {
    .future = exec_future,
    .take = exec_take,
    .cancel = exec_cancel,
    .release = stand_in_release,
    .by_io_thread = true,
};

/* For a process that is done: whether it ran to its end, with whatever exit code. */
static bool has_exited(const struct py_process *process)
{
    return !process->op.cancelled && py_process_exec(process)->end == CWS_EXEC_EXITED;
}

static bool is_cancelled(const struct py_process *process)
{
    return process->op.cancelled || py_process_exec(process)->end == CWS_EXEC_CANCELLED;
}

static bool is_done(const struct py_process *process)
{
    return py_operation_is_done(&process->op);
}

/* The exit code is the answer: the command ran to its end, and that is no failure. */
static bool has_code(const struct py_process *process)
{
    const struct cws_exec *exec = py_process_exec(process);
    return has_exited(process) && !(exec->check && exec->exit_code != 0);
}

/* As py_stream_kind.failure. A command that ran to its end has none, whatever result() makes of its
 * exit code; and who cancelled it knows. */
static int own_failure(struct py_operation *op, PyObject **out_failure)
{
    const struct py_process *process = (const struct py_process *)op;
    *out_failure = NULL;
    if (has_exited(process) || is_cancelled(process))
        return 0;
    if (py_operation_settle(op) < 0)
        return -1;
    *out_failure = Py_XNewRef(op->error);
    return 0;
}

/* ---- its streams ---------------------------------------------------------------------------- */

static PyObject *stream_gap_error(const struct py_stream *stream, size_t len)
{
    struct py_process *process = (struct py_process *)stream->op;
    struct cws_grpc_status status = {0};
    cws_grpc_status_set(&status, CWS_GRPC_DATA_LOSS,
                        "%zu bytes of its %s were not read in time and are not kept", len,
                        stream == &process->streams[PY_STDOUT] ? "stdout" : "stderr");
    PyObject *error = new_error(process, "gap", &status, NULL, NULL);
    cws_grpc_status_done(&status);
    return error;
}

static void stream_close(const struct py_stream *stream)
{
    cws_exec_close_output(stream->op->core, stream->output);
}

static const struct py_stream_kind stream_kind = {
    .item = &py_item_line,
    .failure = own_failure,
    .gap_error = stream_gap_error,
    .close = stream_close,
};

/* ---- life ----------------------------------------------------------------------------------- */

/* `how` says whether it keeps the output; takes over a reference on `exec` of that kind, also on
 * failure. NULL with an exception set. */
static struct py_process *process_make(struct py_state *state, const struct py_source *how,
                                       struct cws_exec *exec, const struct py_process_home *home,
                                       PyObject *command)
{
    PyObject *made = py_operation_alloc(state->process_type, state, PyType_GenericAlloc);
    if (!made) {
        how->release(exec);
        return NULL;
    }
    struct py_process *process = (struct py_process *)made;
    py_operation_begin(&process->op, how, exec);
    process->home = *home;
    Py_INCREF(home->sandbox);
    Py_INCREF(home->failures);
    process->command = Py_NewRef(command);
    return process;
}

PyObject *py_process_new(struct py_state *state, struct cws_exec *exec,
                         const struct py_process_home *home, PyObject *command)
{
    struct py_process *process = process_make(state, &exec_source, exec, home, command);
    if (!process)
        return NULL;
    py_stream_init(&process->streams[PY_STDOUT], &stream_kind, "stdout", &process->op, &exec->out);
    py_stream_init(&process->streams[PY_STDERR], &stream_kind, "stderr", &process->op, &exec->err);
    return (PyObject *)process;
}

/* The principal's own exception while there is one, so that all who ask get the same. */
static int stand_in_failure(struct py_operation *op, PyObject **out_failure)
{
    struct py_process *principal = ((struct py_process *)op)->principal;
    if (!principal)
        return own_failure(op, out_failure);
    Py_INCREF((PyObject *)principal);
    int rc = own_failure(&principal->op, out_failure);
    Py_DECREF((PyObject *)principal);
    return rc;
}

static bool is_stand_in(const struct py_process *process)
{
    return process->op.source == &stand_in_source;
}

/* Borrowed, made if need be. NULL with an exception set. */
static struct py_process *stand_in_for(struct py_process *process)
{
    if (process->stand_in || is_stand_in(process))
        return process->stand_in ? process->stand_in : process;
    struct cws_exec *exec = process->op.core;
    cws_exec_ref(exec);
    struct py_process *made =
        process_make(process->op.state, &stand_in_source, exec, &process->home, process->command);
    if (!made)
        return NULL;
    py_input_init(&made->input, stand_in_failure, &made->op, &exec->input);
    made->principal = process;
    process->stand_in = made;
    return made;
}

static int process_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_process *process = (struct py_process *)self;
    Py_VISIT(process->home.sandbox);
    Py_VISIT(process->home.failures);
    Py_VISIT(process->command);
    Py_VISIT((PyObject *)process->stand_in);
    Py_VISIT(process->input.error);
    return py_operation_traverse(self, visit, arg);
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
    Py_CLEAR(process->home.sandbox);
    Py_CLEAR(process->home.failures);
    Py_CLEAR(process->command);
    Py_CLEAR(process->input.error);
    Py_CLEAR(process->output);
    py_operation_dealloc(self);
}

/* ---- methods -------------------------------------------------------------------------------- */

static enum py_poll poll_code(PyObject *self, struct cws_observer *observer,
                              struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_process *process = (struct py_process *)self;
    enum py_poll how = py_operation_poll_done(&process->op, observer, out_waiters);
    if (how != PY_POLL_READY)
        return how;
    if (!has_code(process)) {
        how = py_operation_poll(self, NULL, NULL, out_value);
        if (how != PY_POLL_READY)
            return how;
        Py_DECREF(*out_value); /* make_value ignores the exit code */
    }
    *out_value = PyLong_FromLong(py_process_exec(process)->exit_code);
    return *out_value ? PY_POLL_READY : PY_POLL_ERROR;
}

static const struct py_waitable exit_code = {
    .poll = poll_code, .loop = py_operation_loop, .may_run_loop = true};

static PyObject *process_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    static const struct py_params params = {"wait", names, 1, 1, 0};
    PyObject *timeout;
    double timeout_s;
    if (py_args_parse(&params, args, nargs, kwnames, &timeout) < 0 ||
        py_arg_timeout(timeout, &timeout_s) < 0)
        return NULL;
    return py_wait(((struct py_process *)self)->op.state, self, &exit_code, timeout_s);
}

static PyObject *process_poll(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->op) < 0)
        return NULL;
    if (!is_done(process))
        Py_RETURN_NONE;
    if (has_exited(process))
        return PyLong_FromLong(py_process_exec(process)->exit_code);
    if (is_cancelled(process))
        Py_RETURN_NONE;
    py_operation_raise_failure(&process->op);
    return NULL;
}

static PyObject *process_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->op) < 0)
        return NULL;
    return PyBool_FromLong(py_operation_cancel(&process->op));
}

static PyObject *process_output(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->op) < 0)
        return NULL;
    if (!process->output)
        process->output = py_output_new(process->op.state, py_process_exec(process));
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
    if (py_operation_check(&process->op) < 0)
        return NULL;
    if (!py_process_exec(process)->with_stdin)
        Py_RETURN_NONE;
    struct py_process *stand_in = stand_in_for(process);
    return stand_in ? py_writer_of(&stand_in->input) : NULL;
}

static PyObject *process_returncode(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->op) < 0)
        return NULL;
    if (!is_done(process) || !has_code(process))
        Py_RETURN_NONE;
    return PyLong_FromLong(py_process_exec(process)->exit_code);
}

static PyObject *process_command(PyObject *self, void *Py_UNUSED(closure))
{
    return PySequence_List(((struct py_process *)self)->command);
}

static PyObject *process_timeout(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_process *process = (struct py_process *)self;
    if (py_operation_check(&process->op) < 0)
        return NULL;
    double timeout_s = py_process_exec(process)->timeout_s;
    if (timeout_s < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(timeout_s);
}

/* How many characters of a long command are shown. */
enum { REPR_COMMAND_MAX = 200 };

static PyObject *command_text(const struct py_process *process)
{
    PyObject *list = PySequence_List(process->command);
    PyObject *text = list ? PyObject_Repr(list) : NULL;
    Py_XDECREF(list);
    if (!text || PyUnicode_GetLength(text) <= REPR_COMMAND_MAX)
        return text;
    PyObject *head = PyUnicode_Substring(text, 0, REPR_COMMAND_MAX);
    PyObject *cut = head ? PyUnicode_FromFormat("%U...", head) : NULL;
    Py_XDECREF(head);
    Py_DECREF(text);
    return cut;
}

/* Says what is known, and neither waits nor has the result made. */
static PyObject *process_repr(PyObject *self)
{
    const struct py_process *process = (const struct py_process *)self;
    PyObject *command = command_text(process);
    if (!command)
        return NULL;
    PyObject *text;
    if (process->op.generation != cws_loop_generation())
        text = py_repr(self, "command=%U state=made before fork", command);
    else if (!is_done(process))
        text = py_repr(self, "command=%U state=running", command);
    else if (has_exited(process))
        text = py_repr(self, "command=%U state=exited returncode=%d", command,
                       py_process_exec(process)->exit_code);
    else
        text = py_repr(self, "command=%U state=%s", command,
                       is_cancelled(process) ? "cancelled" : "failed");
    Py_DECREF(command);
    return text;
}

static PyMethodDef process_methods[] = {
    {"poll", process_poll, METH_NOARGS,
     PyDoc_STR("poll($self)\n--\n\nThe exit code; None while it runs and after cancel(). Raises "
               "the failure of a failed process. Never blocks.")},
    {"wait", (PyCFunction)(void (*)(void))process_wait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "wait($self, timeout=None)\n--\n\nBlock for the exit code, at most `timeout` seconds; "
         "otherwise like result().")},
    {"cancel", process_cancel, METH_NOARGS,
     PyDoc_STR("cancel($self)\n--\n\nEnd the command. True, even when repeated; False if it had "
               "already ended.")},
    {NULL},
};

static PyObject *process_sandbox(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct py_process *)self)->home.sandbox);
}

static PyGetSetDef process_getset[] = {
    {"stdout", process_stdout, NULL, PyDoc_STR("Standard output, line by line."), NULL},
    {"stderr", process_stderr, NULL, PyDoc_STR("Standard error, line by line."), NULL},
    {"stdin", process_stdin, NULL,
     PyDoc_STR("Standard input, a StreamWriter; None without exec(..., stdin=True)."), NULL},
    {"returncode", process_returncode, NULL,
     PyDoc_STR("The exit code; None while it runs and after a failure."), NULL},
    {"command", process_command, NULL, PyDoc_STR("A copy of the command that it runs."), NULL},
    {"_output", process_output, NULL,
     PyDoc_STR("What it has printed: an Output, which does not keep this object."), NULL},
    {"_sandbox", process_sandbox, NULL, PyDoc_STR("The SandboxCore it was started by."), NULL},
    {"_timeout", process_timeout, NULL, PyDoc_STR("The time limit in seconds, None without one."),
     NULL},
    {NULL},
};

static PyType_Slot process_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A running command.")},
    {Py_tp_repr, process_repr},
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = process_slots,
};
