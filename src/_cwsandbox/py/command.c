#include "py/command.h"

#include "py/args.h"
#include "py/errors.h"
#include "py/kind.h"
#include "py/trace.h"

/* ---- the outcome ---------------------------------------------------------------------------- */

struct cws_future *py_command_future(void *core)
{
    return &((struct cws_exec *)core)->future;
}

/* NULL with another exception set. */
static PyObject *new_error(struct py_command *command, const char *kind,
                           const struct cws_grpc_status *status, const char *code,
                           PyObject *failure)
{
    struct py_state *state = command->op.state;
    PyObject *error = py_rpc_error_new(state, kind, status, code, failure);
    if (!error)
        return NULL;
    PyObject *made = py_kind_make_error(state, command->kind, (PyObject *)command, error);
    Py_DECREF(error);
    return made;
}

static int take_failure(struct py_command *command)
{
    const struct cws_exec *exec = py_command_exec(command);
    if (exec->end == CWS_EXEC_CANCELLED) {
        command->op.cancelled = true;
        return 0;
    }
    command->op.error =
        new_error(command, cws_exec_end_name(exec->end), &exec->status, exec->frame_code,
                  py_home_failure(&command->home, exec->end == CWS_EXEC_CLOSED,
                                  exec->end == CWS_EXEC_NOT_OPEN));
    return command->op.error ? 0 : -1;
}

int py_command_take(struct py_operation *op)
{
    struct py_command *command = (struct py_command *)op;
    const struct cws_exec *exec = op->core;
    if (exec->end != CWS_EXEC_EXITED)
        return take_failure(command);
    PyObject *code = PyLong_FromLong(exec->exit_code);
    if (!code)
        return -1;
    PyObject *made =
        PyObject_CallFunctionObjArgs(op->state->makers[command->kind].value, (PyObject *)command,
                                     code, exec->check ? Py_True : Py_False, NULL);
    Py_DECREF(code);
    if (!made)
        return -1;
    *(py_is_exception(made) ? &op->error : &op->value) = made;
    return 0;
}

bool py_command_cancel(struct py_operation *op)
{
    return cws_exec_cancel(op->core);
}

bool py_command_is_done(const struct py_command *command)
{
    return py_operation_is_done(&command->op);
}

bool py_command_has_exited(const struct py_command *command)
{
    return !command->op.cancelled && py_command_exec(command)->end == CWS_EXEC_EXITED;
}

bool py_command_is_cancelled(const struct py_command *command)
{
    return command->op.cancelled || py_command_exec(command)->end == CWS_EXEC_CANCELLED;
}

/* The exit code is the answer: the command ran to its end, and that is no failure. */
static bool has_code(const struct py_command *command)
{
    const struct cws_exec *exec = py_command_exec(command);
    return py_command_has_exited(command) && !(exec->check && exec->exit_code != 0);
}

int py_command_failure(struct py_operation *op, PyObject **out_failure)
{
    const struct py_command *command = (const struct py_command *)op;
    *out_failure = NULL;
    if (py_command_has_exited(command) || py_command_is_cancelled(command))
        return 0;
    if (py_operation_settle(op) < 0)
        return -1;
    *out_failure = Py_XNewRef(op->error);
    return 0;
}

PyObject *py_command_gap_error(const struct py_stream *stream, size_t len)
{
    struct cws_grpc_status status = {0};
    cws_grpc_status_set(&status, CWS_GRPC_DATA_LOSS,
                        "%zu bytes of its %s were not read in time and are not kept", len,
                        stream->name);
    PyObject *error = new_error((struct py_command *)stream->op, "gap", &status, NULL, NULL);
    cws_grpc_status_done(&status);
    return error;
}

/* ---- life ----------------------------------------------------------------------------------- */

PyObject *py_command_new(PyTypeObject *type, struct py_state *state, enum py_kind kind,
                         const struct py_source *how, struct cws_exec *exec,
                         const struct py_home *home, PyObject *words)
{
    PyObject *made = py_operation_alloc(type, state, PyType_GenericAlloc);
    if (!made) {
        how->release(exec);
        return NULL;
    }
    struct py_command *command = (struct py_command *)made;
    py_operation_begin(&command->op, how, exec);
    command->kind = kind;
    py_home_init(&command->home, home);
    command->words = Py_NewRef(words);
    return made;
}

int py_command_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_command *command = (struct py_command *)self;
    Py_VISIT(command->words);
    int rc = py_home_traverse(&command->home, visit, arg);
    return rc ? rc : py_operation_traverse(self, visit, arg);
}

void py_command_dealloc(PyObject *self)
{
    struct py_command *command = (struct py_command *)self;
    PyObject_GC_UnTrack(self);
    py_home_done(&command->home);
    Py_CLEAR(command->words);
    py_operation_dealloc(self);
}

/* ---- methods -------------------------------------------------------------------------------- */

static enum py_poll poll_code(PyObject *self, struct cws_observer *observer,
                              struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_command *command = (struct py_command *)self;
    enum py_poll how = py_operation_poll_done(&command->op, observer, out_waiters);
    if (how != PY_POLL_READY)
        return how;
    if (!has_code(command)) {
        how = py_operation_poll(self, NULL, NULL, out_value);
        if (how != PY_POLL_READY)
            return how;
        Py_DECREF(*out_value); /* make_value ignores the exit code */
    }
    if (py_trace_settle(command->op.state) < 0)
        return PY_POLL_ERROR;
    *out_value = PyLong_FromLong(py_command_exec(command)->exit_code);
    return *out_value ? PY_POLL_READY : PY_POLL_ERROR;
}

static const struct py_waitable exit_code = {
    .poll = poll_code, .loop = py_operation_loop, .may_run_loop = true};

PyObject *py_command_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    static const struct py_params params = {"wait", names, 1, 1, 0};
    PyObject *timeout;
    double timeout_s;
    if (py_args_parse(&params, args, nargs, kwnames, &timeout) < 0 ||
        py_arg_timeout(timeout, &timeout_s) < 0)
        return NULL;
    return py_wait(((struct py_command *)self)->op.state, self, &exit_code, timeout_s);
}

PyObject *py_command_returncode(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_command *command = (struct py_command *)self;
    if (py_operation_check(&command->op) < 0)
        return NULL;
    if (!py_command_is_done(command) || !has_code(command))
        Py_RETURN_NONE;
    return PyLong_FromLong(py_command_exec(command)->exit_code);
}

PyObject *py_command_words(PyObject *self, void *Py_UNUSED(closure))
{
    return PySequence_List(((struct py_command *)self)->words);
}

PyObject *py_command_sandbox(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct py_command *)self)->home.sandbox);
}

PyObject *py_command_timeout(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_command *command = (struct py_command *)self;
    if (py_operation_check(&command->op) < 0)
        return NULL;
    double timeout_s = py_command_exec(command)->timeout_s;
    if (timeout_s < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(timeout_s);
}

/* How many characters of a long command are shown. */
enum { REPR_COMMAND_MAX = 200 };

static PyObject *command_text(const struct py_command *command)
{
    PyObject *list = PySequence_List(command->words);
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

PyObject *py_command_repr(PyObject *self)
{
    const struct py_command *command = (const struct py_command *)self;
    PyObject *words = command_text(command);
    if (!words)
        return NULL;
    PyObject *text;
    if (command->op.generation != cws_loop_generation())
        text = py_repr(self, "command=%U state=made before fork", words);
    else if (!py_command_is_done(command))
        text = py_repr(self, "command=%U state=running", words);
    else if (py_command_has_exited(command))
        text = py_repr(self, "command=%U state=exited returncode=%d", words,
                       py_command_exec(command)->exit_code);
    else
        text = py_repr(self, "command=%U state=%s", words,
                       py_command_is_cancelled(command) ? "cancelled" : "failed");
    Py_DECREF(words);
    return text;
}
