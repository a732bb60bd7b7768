#include "py/operation.h"

#include "py/args.h"
#include "py/await.h"
#include "py/promise.h"
#include "py/trace.h"

/* ---- life ----------------------------------------------------------------------------------- */

PyObject *py_operation_alloc(PyTypeObject *type, struct py_state *state, allocfunc alloc)
{
    struct py_operation *op = (struct py_operation *)alloc(type, 0);
    if (!op)
        return NULL;
    op->state = py_state_ref(state);
    op->generation = cws_loop_generation();
    return (PyObject *)op;
}

void py_operation_begin(struct py_operation *op, const struct py_source *source, void *core)
{
    op->source = source;
    op->core = core;
    op->state->live_operations++;
}

struct py_operation *py_operation_new(struct py_state *state, const struct py_source *source,
                                      void *core)
{
    PyObject *self = py_operation_alloc(state->operation_type, state, PyType_GenericAlloc);
    if (!self) {
        source->release(core);
        return NULL;
    }
    py_operation_begin((struct py_operation *)self, source, core);
    return (struct py_operation *)self;
}

int py_operation_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_operation *op = (struct py_operation *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(op->attached);
    Py_VISIT(op->value);
    Py_VISIT(op->error);
    return 0;
}

int py_operation_clear(PyObject *self)
{
    struct py_operation *op = (struct py_operation *)self;
    Py_CLEAR(op->attached);
    Py_CLEAR(op->value);
    Py_CLEAR(op->error);
    return 0;
}

void py_operation_dealloc(PyObject *self)
{
    struct py_operation *op = (struct py_operation *)self;
    PyObject_GC_UnTrack(self);
    if (op->weakrefs)
        PyObject_ClearWeakRefs(self);
    py_operation_clear(self);
    if (op->source) {
        op->state->live_operations--;
        /* What was made before fork() stays as it is: the I/O thread may have been in the middle
         * of it. */
        if (op->generation == cws_loop_generation())
            op->source->release(op->core);
    }
    if (op->making)
        PyThread_free_lock(op->making);
    py_state_unref(op->state);
    py_object_free(self);
}

int py_operation_check(const struct py_operation *op)
{
    if (!op->source) {
        PyErr_SetString(PyExc_RuntimeError, "OperationRef.__init__ was not called");
        return -1;
    }
    return py_state_check_fork(op->generation, "operation");
}

/* ---- the outcome ---------------------------------------------------------------------------- */

static bool is_settled(const struct py_operation *op)
{
    return op->cancelled || op->value || op->error;
}

bool py_operation_is_done(const struct py_operation *op)
{
    return is_settled(op) || cws_future_is_done(op->source->future(op->core));
}

/* One thread at a time may make the outcome: it runs Python code, in which the GIL changes
 * hands. */
static int enter_making(struct py_operation *op)
{
    if (op->maker == PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "the result was asked for by what makes it");
        return -1;
    }
    if (!op->making) {
        op->making = py_park_lock_new();
        if (!op->making)
            return -1;
    } else if (!PyThread_acquire_lock(op->making, NOWAIT_LOCK) &&
               py_park(op->making, CWS_NO_DEADLINE) < 0) {
        return -1;
    }
    op->maker = PyThread_get_thread_ident();
    return 0;
}

static void leave_making(struct py_operation *op)
{
    op->maker = 0;
    PyThread_release_lock(op->making);
}

static int make_outcome(struct py_operation *op)
{
    if (enter_making(op) < 0)
        return -1;
    int rc = is_settled(op) ? 0 : op->source->take(op);
    assert(rc < 0 || is_settled(op));
    leave_making(op);
    return rc;
}

int py_operation_settle(struct py_operation *op)
{
    if (!is_settled(op) && make_outcome(op) < 0)
        return -1;
    return py_trace_settle(op->state);
}

enum py_poll py_operation_poll_done(struct py_operation *op, struct cws_observer *observer,
                                    struct cws_waiters **out_waiters)
{
    if (py_operation_check(op) < 0)
        return PY_POLL_ERROR;
    if (is_settled(op))
        return PY_POLL_READY;
    struct cws_future *future = op->source->future(op->core);
    if (cws_future_is_done(future))
        return PY_POLL_READY;
    if (!observer)
        return PY_POLL_PENDING;
    if (op->source->by_io_thread && op->state->stopped) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "the interpreter is ending: the operation cannot end, as the I/O thread was "
            "shut down");
        return PY_POLL_ERROR;
    }
    if (!cws_future_observe(future, observer))
        return PY_POLL_READY;
    *out_waiters = &future->waiters;
    return PY_POLL_PENDING;
}

static enum py_poll poll_outcome(PyObject *self, struct cws_observer *observer,
                                 struct cws_waiters **out_waiters, PyObject **out_value,
                                 PyObject *(*raise_cancelled)(struct py_state *))
{
    struct py_operation *op = (struct py_operation *)self;
    enum py_poll how = py_operation_poll_done(op, observer, out_waiters);
    if (how != PY_POLL_READY)
        return how;
    if (py_operation_settle(op) < 0)
        return PY_POLL_ERROR;
    if (op->cancelled) {
        raise_cancelled(op->state);
        return PY_POLL_ERROR;
    }
    if (op->error) {
        /* The same instance is raised every time: without this its traceback would grow each
         * time. */
        PyException_SetTraceback(op->error, Py_None);
        py_exception_raise(op->error);
        return PY_POLL_ERROR;
    }
    *out_value = Py_NewRef(op->value);
    return PY_POLL_READY;
}

enum py_poll py_operation_poll(PyObject *self, struct cws_observer *observer,
                               struct cws_waiters **out_waiters, PyObject **out_value)
{
    return poll_outcome(self, observer, out_waiters, out_value, py_state_raise_cancelled);
}

void py_operation_raise_failure(struct py_operation *op)
{
    PyObject *value = NULL;
    py_operation_poll((PyObject *)op, NULL, NULL, &value);
    assert(!value);
}

static enum py_poll poll_awaiting(PyObject *self, struct cws_observer *observer,
                                  struct cws_waiters **out_waiters, PyObject **out_value)
{
    return poll_outcome(self, observer, out_waiters, out_value, py_state_raise_task_cancelled);
}

static void cancel_with_task(PyObject *self)
{
    struct py_operation *op = (struct py_operation *)self;
    if (py_operation_check(op) < 0)
        PyErr_WriteUnraisable(self);
    else
        py_operation_cancel(op);
}

struct cws_loop *py_operation_loop(PyObject *self)
{
    const struct py_operation *op = (const struct py_operation *)self;
    return op->source->by_io_thread ? op->state->loop : NULL;
}

static const struct py_waitable outcome_blocking = {
    .poll = py_operation_poll, .loop = py_operation_loop, .may_run_loop = true};
static const struct py_waitable outcome_awaiting = {
    .poll = poll_awaiting, .cancel = cancel_with_task, .loop = py_operation_loop};

bool py_operation_cancel(struct py_operation *op)
{
    if (op->cancelled)
        return true;
    if (py_operation_is_done(op))
        return false;
    if (op->source->cancel(op))
        op->cancelled = true;
    return op->cancelled;
}

/* ---- methods -------------------------------------------------------------------------------- */

static int operation_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"future"};
    static const struct py_params params = {"OperationRef", names, 1, 1, 1};
    PyObject *future;
    if (py_args_parse_call(&params, args, kwargs, &future) < 0)
        return -1;
    return py_promise_wrap((struct py_operation *)self, future);
}

static PyObject *operation_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                               PyObject *Py_UNUSED(kwargs))
{
    struct py_state *state = py_state_of_type(type);
    if (!state)
        return NULL;
    return py_operation_alloc(type, state, (allocfunc)PyType_GetSlot(type, Py_tp_alloc));
}

static PyObject *operation_result(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    static const struct py_params params = {"result", names, 1, 1, 0};
    PyObject *timeout;
    double timeout_s;
    if (py_args_parse(&params, args, nargs, kwnames, &timeout) < 0 ||
        py_arg_timeout(timeout, &timeout_s) < 0)
        return NULL;
    return py_wait(((struct py_operation *)self)->state, self, &outcome_blocking, timeout_s);
}

static PyObject *operation_await(PyObject *self)
{
    struct py_operation *op = (struct py_operation *)self;
    if (py_operation_check(op) < 0)
        return NULL;
    return py_awaiter_new(op->state, self, &outcome_awaiting);
}

static PyObject *operation_done(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_operation *op = (struct py_operation *)self;
    if (py_operation_check(op) < 0)
        return NULL;
    return PyBool_FromLong(py_operation_is_done(op));
}

static PyObject *operation_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_operation *op = (struct py_operation *)self;
    if (py_operation_check(op) < 0)
        return NULL;
    return PyBool_FromLong(py_operation_cancel(op));
}

/* Says what is known. It neither waits nor makes the outcome. */
static PyObject *operation_repr(PyObject *self)
{
    const struct py_operation *op = (const struct py_operation *)self;
    const char *state = "pending";
    if (!op->source)
        state = "not initialized";
    else if (op->generation != cws_loop_generation())
        state = "made before fork";
    else if (op->cancelled)
        state = "cancelled";
    else if (op->error)
        state = "failed";
    else if (py_operation_is_done(op))
        state = "done";
    return py_repr(self, "state=%s", state);
}

static PyMethodDef operation_methods[] = {
    {"result", (PyCFunction)(void (*)(void))operation_result, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("result($self, timeout=None)\n--\n\n"
               "Block for the value, at most `timeout` seconds (then TimeoutError; the operation "
               "goes on). Default: no limit.\n\n"
               "Raises the operation's exception; concurrent.futures.CancelledError when it was "
               "cancelled.")},
    {"_done", operation_done, METH_NOARGS,
     PyDoc_STR("_done($self)\n--\n\nWhether result() would return or raise without waiting.")},
    {"_cancel", operation_cancel, METH_NOARGS,
     PyDoc_STR("_cancel($self)\n--\n\nCancel it if it is not done. True if this call or an "
               "earlier one cancelled it.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

static PyMemberDef operation_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_operation, weakrefs), READONLY, NULL},
    {NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR(
                    "OperationRef(future)\n--\n\n"
                    "The result of an operation that runs in the background.\n\n"
                    "`future` is the concurrent.futures.Future whose outcome it is.\n"
                    "The value stays: it can be retrieved any number of times, with result() from\n"
                    "threads and with await from any event loop.")},
    {Py_tp_new, operation_new},
    {Py_tp_init, operation_init},
    {Py_am_await, operation_await},
    {Py_tp_repr, operation_repr},
    {Py_tp_methods, operation_methods},
    {Py_tp_members, operation_members},
    {Py_tp_traverse, py_operation_traverse},
    {Py_tp_clear, py_operation_clear},
    {Py_tp_dealloc, py_operation_dealloc},
    {0, NULL},
};

PyType_Spec py_operation_spec = {
    .name = "cwsandbox.OperationRef",
    .basicsize = sizeof(struct py_operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = operation_slots,
};
