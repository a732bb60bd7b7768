#include "py/promise.h"

#include "base/alloc.h"
#include "py/args.h"

/* ---- the future that Python completes ------------------------------------------------------- */

static struct cws_future *core_future(void *core)
{
    return core;
}

static struct cws_future *core_new(void)
{
    struct cws_future *future = cws_malloc(sizeof(*future));
    if (future)
        cws_future_init(future);
    else
        PyErr_NoMemory();
    return future;
}

/* Only the operation holds it: whoever completes it or waits for it holds the operation. */
static void core_release(void *core)
{
    cws_future_done(core);
    cws_free(core);
}

static int outcome_gone(struct py_operation *Py_UNUSED(op))
{
    PyErr_SetString(PyExc_RuntimeError, "the garbage collector has cleared this operation");
    return -1;
}

/* Ends the operation with one of the two (stolen references), unless it has ended. */
static bool complete(struct py_operation *op, PyObject *value, PyObject *error)
{
    if (py_operation_is_done(op)) {
        Py_XDECREF(value);
        Py_XDECREF(error);
        return false;
    }
    op->value = value;
    op->error = error;
    cws_future_complete(op->core);
    return true;
}

static bool complete_cancelled(struct py_operation *op)
{
    if (py_operation_is_done(op))
        return op->cancelled;
    op->cancelled = true;
    cws_future_complete(op->core);
    return true;
}

/* ---- around a concurrent.futures.Future ----------------------------------------------------- */

static int is_cancelled(PyObject *future)
{
    PyObject *cancelled = PyObject_CallMethod(future, "cancelled", NULL);
    if (!cancelled)
        return -1;
    int rc = PyObject_IsTrue(cancelled);
    Py_DECREF(cancelled);
    return rc;
}

static int take_over(struct py_operation *op, PyObject *future)
{
    int cancelled = is_cancelled(future);
    op->cancelled = cancelled > 0;
    if (cancelled)
        return cancelled < 0 ? -1 : 0;
    PyObject *error = PyObject_CallMethod(future, "exception", NULL);
    if (!error)
        return -1;
    if (error != Py_None) {
        op->error = error;
        return 0;
    }
    Py_DECREF(error);
    op->value = PyObject_CallMethod(future, "result", NULL);
    return op->value ? 0 : -1;
}

static int wrapped_take(struct py_operation *op)
{
    PyObject *future = Py_XNewRef(op->attached);
    int rc = future ? take_over(op, future) : outcome_gone(op);
    Py_XDECREF(future);
    return rc;
}

/* A cancellation is visible at once; the value or exception is fetched when somebody asks. */
static PyObject *on_wrapped_done(PyObject *self, PyObject *future)
{
    struct py_operation *op = (struct py_operation *)self;
    if (py_operation_check(op) < 0)
        return NULL;
    if (py_operation_is_done(op))
        Py_RETURN_NONE;
    int cancelled = is_cancelled(future);
    op->cancelled = cancelled > 0;
    cws_future_complete(op->core);
    if (cancelled < 0)
        return NULL;
    Py_RETURN_NONE;
}

static bool wrapped_cancel(struct py_operation *op)
{
    /* Its callback completes the operation, from inside of this call. */
    PyObject *cancelled = PyObject_CallMethod(op->attached, "cancel", NULL);
    if (!cancelled)
        PyErr_WriteUnraisable(op->attached);
    Py_XDECREF(cancelled);
    return op->cancelled;
}

static const struct py_source wrapped_source = {
    .future = core_future,
    .take = wrapped_take,
    .cancel = wrapped_cancel,
    .release = core_release,
};

static PyMethodDef on_wrapped_done_def = {"_on_done", on_wrapped_done, METH_O, NULL};

int py_promise_wrap(struct py_operation *op, PyObject *future)
{
    PyObject *class = py_state_import(&op->state->future_class, "concurrent.futures", "Future");
    if (!class)
        return -1;
    int fits = PyObject_IsInstance(future, class);
    if (fits < 0)
        return -1;
    if (!fits) {
        PyErr_Format(PyExc_TypeError, "future must be a concurrent.futures.Future, got %.200R",
                     future);
        return -1;
    }
    if (op->source) {
        PyErr_SetString(PyExc_RuntimeError, "OperationRef.__init__ was called twice");
        return -1;
    }
    struct cws_future *core = core_new();
    if (!core)
        return -1;
    py_operation_begin(op, &wrapped_source, core);
    op->attached = Py_NewRef(future);
    PyObject *callback = PyCFunction_NewEx(&on_wrapped_done_def, (PyObject *)op, NULL);
    if (!callback)
        return -1;
    PyObject *added = PyObject_CallMethod(future, "add_done_callback", "O", callback);
    Py_DECREF(callback);
    Py_XDECREF(added);
    return added ? 0 : -1;
}

/* ---- Promise -------------------------------------------------------------------------------- */

static bool promise_cancel(struct py_operation *op)
{
    PyObject *on_cancel = op->attached;
    op->attached = NULL;
    complete_cancelled(op);
    if (on_cancel && on_cancel != Py_None) {
        PyObject *done = PyObject_CallNoArgs(on_cancel);
        if (!done)
            PyErr_WriteUnraisable(on_cancel);
        Py_XDECREF(done);
    }
    Py_XDECREF(on_cancel);
    return true;
}

static const struct py_source promise_source = {
    .future = core_future,
    .take = outcome_gone,
    .cancel = promise_cancel,
    .release = core_release,
};

static PyObject *promise_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                             PyObject *Py_UNUSED(kwargs))
{
    struct py_state *state = py_state_of_type(type);
    if (!state)
        return NULL;
    struct cws_future *core = core_new();
    if (!core)
        return NULL;
    PyObject *self = py_operation_alloc(type, state, (allocfunc)PyType_GetSlot(type, Py_tp_alloc));
    if (self)
        py_operation_begin((struct py_operation *)self, &promise_source, core);
    else
        core_release(core);
    return self;
}

static int promise_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"on_cancel"};
    static const struct py_params params = {"Promise", names, 1, 1, 0};
    struct py_operation *op = (struct py_operation *)self;
    PyObject *on_cancel;
    if (py_args_parse_call(&params, args, kwargs, &on_cancel) < 0)
        return -1;
    if (on_cancel && on_cancel != Py_None && !PyCallable_Check(on_cancel)) {
        PyErr_Format(PyExc_TypeError, "on_cancel must be callable or None, got %.200R", on_cancel);
        return -1;
    }
    PyObject *before = op->attached;
    op->attached = Py_XNewRef(on_cancel);
    Py_XDECREF(before);
    return 0;
}

static PyObject *end_promise(struct py_operation *op, PyObject *value, PyObject *error)
{
    if (py_operation_check(op) < 0)
        return NULL;
    bool ended = complete(op, Py_XNewRef(value), Py_XNewRef(error));
    if (ended)
        Py_CLEAR(op->attached); /* on_cancel is not needed any more, and often holds much */
    return PyBool_FromLong(ended);
}

static PyObject *promise_set_result(PyObject *self, PyObject *value)
{
    return end_promise((struct py_operation *)self, value, NULL);
}

static PyObject *promise_set_exception(PyObject *self, PyObject *exception)
{
    if (py_arg_exception(exception, "exception") < 0)
        return NULL;
    if (PyObject_TypeCheck(exception, (PyTypeObject *)PyExc_StopIteration)) {
        PyErr_SetString(PyExc_TypeError,
                        "StopIteration cannot be raised into a coroutine that awaits the promise");
        return NULL;
    }
    return end_promise((struct py_operation *)self, NULL, exception);
}

static PyMethodDef promise_methods[] = {
    {"set_result", promise_set_result, METH_O,
     PyDoc_STR("set_result($self, value)\n--\n\n"
               "Complete it; False when it was done or cancelled already (then nothing changes).")},
    {"set_exception", promise_set_exception, METH_O,
     PyDoc_STR("set_exception($self, exception)\n--\n\n"
               "Fail it; False when it was done or cancelled already (then nothing changes).")},
    {NULL},
};

static PyType_Slot promise_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR(
                    "An operation completed by Python code.\n\n"
                    "`on_cancel` is called once, on the cancelling thread, if it is cancelled.")},
    {Py_tp_new, promise_new},
    {Py_tp_init, promise_init},
    {Py_tp_methods, promise_methods},
    {Py_tp_traverse, py_operation_traverse},
    {Py_tp_clear, py_operation_clear},
    {Py_tp_dealloc, py_operation_dealloc},
    {0, NULL},
};

PyType_Spec py_promise_spec = {
    .name = "cwsandbox.Promise",
    .basicsize = sizeof(struct py_operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = promise_slots,
};
