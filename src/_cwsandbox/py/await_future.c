#include "py/args.h"
#include "py/await_private.h"

static bool is_pending(const struct py_awaiter *awaiter)
{
    return awaiter->phase == PY_AWAITER_WAITING;
}

static bool is_done(const struct py_awaiter *awaiter)
{
    return awaiter->phase >= PY_AWAITER_WOKEN;
}

/* ---- waking --------------------------------------------------------------------------------- */

static PyObject *loop_of(const struct py_awaiter *awaiter)
{
    PyObject *loop = awaiter->bridge ? py_bridge_loop(awaiter->bridge) : NULL;
    if (!loop && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "it waits in no event loop");
    return loop;
}

/* loop.call_soon(callback, awaiter, context=context) */
static int call_soon(struct py_awaiter *awaiter, PyObject *callback, PyObject *context)
{
    PyObject *loop = loop_of(awaiter);
    PyObject *function = loop ? PyObject_GetAttrString(loop, "call_soon") : NULL;
    PyObject *args = function ? PyTuple_Pack(2, callback, (PyObject *)awaiter) : NULL;
    PyObject *kwargs = args ? Py_BuildValue("{s:O}", "context", context) : NULL;
    PyObject *handle = kwargs ? PyObject_Call(function, args, kwargs) : NULL;
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(function);
    Py_XDECREF(loop);
    Py_XDECREF(handle);
    return handle ? 0 : -1;
}

static bool ends_the_loop(void)
{
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
           PyErr_ExceptionMatches(PyExc_SystemExit);
}

/* A callback has raised the exception that is set: it is reported to the loop's exception
 * handler. */
static int report(struct py_awaiter *awaiter, PyObject *callback)
{
    if (ends_the_loop())
        return -1;
    PyObject *error = py_exception_take();
    PyObject *loop = loop_of(awaiter);
    PyObject *message = loop ? PyUnicode_FromFormat("Exception in callback %R", callback) : NULL;
    PyObject *told = message ? PyObject_CallMethod(loop, "call_exception_handler", "{s:O,s:O}",
                                                   "message", message, "exception", error)
                             : NULL;
    Py_XDECREF(message);
    Py_XDECREF(loop);
    Py_XDECREF(error);
    if (!told && ends_the_loop())
        return -1;
    if (!told)
        PyErr_WriteUnraisable(callback);
    Py_XDECREF(told);
    return 0;
}

/* context.run(callback, awaiter): what the loop would do with a handle, at once. */
static int call_now(struct py_awaiter *awaiter, PyObject *callback, PyObject *context)
{
    PyObject *run = py_state_name(&awaiter->state->name_run, "run");
    if (!run)
        return -1;
    PyObject *done = PyObject_CallMethodObjArgs(context, run, callback, (PyObject *)awaiter, NULL);
    Py_XDECREF(done);
    return done ? 0 : report(awaiter, callback);
}

/* Wakes the task that waits for the awaiter, if there is one. 0, or -1 with an exception set. */
static int call_back(struct py_awaiter *awaiter, bool directly)
{
    PyObject *callback = awaiter->callback, *context = awaiter->context;
    if (!callback) /* it is driven by hand */
        return 0;
    awaiter->callback = awaiter->context = NULL;
    int rc = (directly ? call_now : call_soon)(awaiter, callback, context);
    Py_DECREF(context);
    Py_DECREF(callback);
    return rc;
}

int py_awaiter_wake(PyObject *self, bool directly)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    py_awaiter_stop_waiting(awaiter, PY_AWAITER_WOKEN);
    int rc = call_back(awaiter, directly);
    if (rc < 0 && !ends_the_loop()) {
        PyErr_WriteUnraisable(self);
        rc = 0;
    }
    return rc;
}

/* ---- what a task asks of a future ----------------------------------------------------------- */

/* None tells asyncio.isfuture() that this is not a future: only an awaiter that was yielded is
 * one. */
PyObject *py_awaiter_get_blocking(PyObject *self, void *Py_UNUSED(closure))
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    if (is_pending(awaiter) || (is_done(awaiter) && awaiter->phase != PY_AWAITER_FINISHED))
        return PyBool_FromLong(awaiter->blocking);
    Py_RETURN_NONE;
}

int py_awaiter_set_blocking(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "_asyncio_future_blocking cannot be deleted");
        return -1;
    }
    int blocking = PyObject_IsTrue(value);
    if (blocking >= 0)
        ((struct py_awaiter *)self)->blocking = blocking;
    return blocking < 0 ? -1 : 0;
}

PyObject *py_awaiter_get_loop(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return loop_of((struct py_awaiter *)self);
}

/* A new reference to the context for a callback. */
static PyObject *context_or_copy(PyObject *given)
{
    if (given && given != Py_None)
        return Py_NewRef(given);
    PyObject *copy_context = NULL;
    if (!py_state_import(&copy_context, "contextvars", "copy_context"))
        return NULL;
    PyObject *context = PyObject_CallNoArgs(copy_context);
    Py_DECREF(copy_context);
    return context;
}

PyObject *py_awaiter_add_done_callback(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames)
{
    static const char *const names[] = {"callback", "context"};
    static const struct py_params params = {"add_done_callback", names, 2, 1, 1};
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    PyObject *given[2];
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    if (awaiter->callback) {
        PyErr_SetString(PyExc_RuntimeError, "an await has one callback, that of its task");
        return NULL;
    }
    PyObject *context = context_or_copy(given[1]);
    if (!context)
        return NULL;
    int rc = 0;
    if (is_pending(awaiter)) {
        awaiter->callback = Py_NewRef(given[0]);
        awaiter->context = Py_NewRef(context);
    } else {
        rc = call_soon(awaiter, given[0], context);
    }
    Py_DECREF(context);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *py_awaiter_remove_done_callback(PyObject *self, PyObject *callback)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    int same = awaiter->callback ? PyObject_RichCompareBool(awaiter->callback, callback, Py_EQ) : 0;
    if (same < 0)
        return NULL;
    if (same) {
        Py_CLEAR(awaiter->callback);
        Py_CLEAR(awaiter->context);
    }
    return PyLong_FromLong(same);
}

PyObject *py_awaiter_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    static const char *const names[] = {"msg"};
    static const struct py_params params = {"cancel", names, 1, 1, 0};
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    PyObject *message;
    if (py_args_parse(&params, args, nargs, kwnames, &message) < 0)
        return NULL;
    if (is_pending(awaiter))
        py_awaiter_stop_waiting(awaiter, PY_AWAITER_CANCELLED);
    else if (!awaiter->callback) /* the wake-up is on its way to the task, which sees to it */
        Py_RETURN_FALSE;
    /* else the coroutine was closed by hand, and its task does not know yet */
    awaiter->cancelled = true;
    awaiter->message = message == Py_None ? NULL : Py_XNewRef(message);
    if (call_back(awaiter, false) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

PyObject *py_awaiter_done(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    return PyBool_FromLong(is_done(awaiter));
}

PyObject *py_awaiter_cancelled(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((struct py_awaiter *)self)->cancelled);
}

void py_awaiter_raise_cancelled(struct py_awaiter *awaiter)
{
    PyObject *class =
        py_state_import(&awaiter->state->task_cancelled_error, "asyncio", "CancelledError");
    PyObject *error = class ? PyObject_CallFunctionObjArgs(class, awaiter->message, NULL) : NULL;
    if (error)
        py_exception_raise(error);
    Py_XDECREF(error);
}

static void raise_not_done(void)
{
    PyObject *class = NULL;
    if (py_state_import(&class, "asyncio", "InvalidStateError"))
        PyErr_SetString(class, "the await is not done");
    Py_XDECREF(class);
}

/* The value itself is for the coroutine, which takes it when its task goes on. */
PyObject *py_awaiter_result(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    if (awaiter->cancelled)
        py_awaiter_raise_cancelled(awaiter);
    else if (is_done(awaiter))
        Py_RETURN_NONE;
    else
        raise_not_done();
    return NULL;
}
