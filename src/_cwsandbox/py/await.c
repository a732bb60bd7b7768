#include "py/await_private.h"
#include "py/pace.h"

/* ---- life ----------------------------------------------------------------------------------- */

PyObject *py_awaiter_new(struct py_state *state, PyObject *subject,
                         const struct py_waitable *waitable)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)PyType_GenericAlloc(state->awaiter_type, 0);
    if (!awaiter)
        return NULL;
    awaiter->state = py_state_ref(state);
    awaiter->waitable = waitable;
    awaiter->subject = Py_NewRef(subject);
    awaiter->generation = cws_loop_generation();
    return (PyObject *)awaiter;
}

static bool is_unused(PyObject *self)
{
    const struct py_awaiter *awaiter = (const struct py_awaiter *)self;
    return Py_REFCNT(self) == 1 && awaiter->generation == cws_loop_generation() &&
           (awaiter->phase == PY_AWAITER_FINISHED || awaiter->phase == PY_AWAITER_IDLE);
}

PyObject *py_awaiter_again(PyObject **spare, struct py_state *state, PyObject *subject,
                           const struct py_waitable *waitable)
{
    if (*spare && is_unused(*spare)) {
        struct py_awaiter *awaiter = (struct py_awaiter *)*spare;
        awaiter->waitable = waitable;
        awaiter->phase = PY_AWAITER_IDLE;
        awaiter->cancelled = false;
        Py_CLEAR(awaiter->callback);
        Py_CLEAR(awaiter->context);
        Py_CLEAR(awaiter->message);
        if (!awaiter->subject)
            awaiter->subject = Py_NewRef(subject);
        return Py_NewRef(*spare);
    }
    PyObject *fresh = py_awaiter_new(state, subject, waitable);
    if (fresh) {
        PyObject *before = *spare;
        *spare = Py_NewRef(fresh);
        Py_XDECREF(before);
    }
    return fresh;
}

void py_awaiter_stop_waiting(struct py_awaiter *awaiter, enum py_awaiter_phase next)
{
    awaiter->phase = next;
    if (awaiter->relies && awaiter->generation == cws_loop_generation())
        py_bridge_rely_end(awaiter->bridge);
    if (next != PY_AWAITER_WOKEN)
        py_letter_give_up(&awaiter->letter);
}

/*
 * Ends it, whether or not the wake-up came: no callback comes after this, but for that of cancel().
 *
 * The callback is kept: this may be the close() of a coroutine that the collector finalizes, and
 * the callback may be all that keeps the task, whose end would close that coroutine again. Where
 * somebody closed it by hand, the task learns of it by being cancelled.
 */
static void end(struct py_awaiter *awaiter)
{
    if (awaiter->phase == PY_AWAITER_WAITING)
        py_awaiter_stop_waiting(awaiter, PY_AWAITER_FINISHED);
    awaiter->phase = PY_AWAITER_FINISHED;
    if (!awaiter->callback)
        Py_CLEAR(awaiter->bridge);
    Py_CLEAR(awaiter->subject);
}

static int awaiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(awaiter->subject);
    Py_VISIT((PyObject *)awaiter->bridge);
    Py_VISIT(awaiter->callback);
    Py_VISIT(awaiter->context);
    Py_VISIT(awaiter->message);
    return 0;
}

static int awaiter_clear(PyObject *self)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    end(awaiter);
    Py_CLEAR(awaiter->callback);
    Py_CLEAR(awaiter->context);
    Py_CLEAR(awaiter->bridge);
    Py_CLEAR(awaiter->message);
    return 0;
}

static void awaiter_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    awaiter_clear(self);
    py_state_unref(((struct py_awaiter *)self)->state);
    py_object_free(self);
}

/* ---- one step ------------------------------------------------------------------------------- */

/* Registers with the running loop. PY_POLL_READY if a value has arrived meanwhile. */
static enum py_poll start_waiting(struct py_awaiter *awaiter, PyObject **out_value)
{
    struct py_bridge *bridge = py_bridge_of_running_loop(awaiter->state);
    if (!bridge)
        return PY_POLL_ERROR;
    Py_XDECREF((PyObject *)awaiter->bridge);
    awaiter->bridge = bridge;
    py_letter_init(&awaiter->letter, bridge, (PyObject *)awaiter, py_awaiter_wake);
    enum py_poll how = awaiter->waitable->poll(awaiter->subject, &awaiter->letter.letter.observer,
                                               &awaiter->letter.waiters, out_value);
    if (how != PY_POLL_PENDING)
        return how;
    py_letter_hold(&awaiter->letter);
    py_pace_reset();
    awaiter->phase = PY_AWAITER_WAITING;
    awaiter->blocking = true;
    struct cws_loop *loop = awaiter->waitable->loop(awaiter->subject);
    awaiter->relies = loop != NULL;
    if (loop)
        py_bridge_rely_begin(bridge, loop);
    return how;
}

/* Cancels the subject if the exception is the cancellation of the task that awaits. */
static void pass_on(struct py_awaiter *awaiter, PyObject *subject, PyObject *exception_type)
{
    PyObject *cancelled =
        py_state_import(&awaiter->state->task_cancelled_error, "asyncio", "CancelledError");
    if (!cancelled)
        PyErr_WriteUnraisable((PyObject *)awaiter);
    else if (PyErr_GivenExceptionMatches(exception_type, cancelled))
        awaiter->waitable->cancel(subject);
}

/* An exception is set that ends the waiting: a cancellation is passed on to the subject. */
static PySendResult fail(struct py_awaiter *awaiter)
{
    if (awaiter->phase == PY_AWAITER_FINISHED)
        return PYGEN_ERROR;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *subject = Py_NewRef(awaiter->subject);
    end(awaiter);
    if (awaiter->waitable->cancel)
        pass_on(awaiter, subject, type);
    Py_DECREF(subject);
    PyErr_Restore(type, value, traceback);
    return PYGEN_ERROR;
}

/* Stepped before the wake-up. */
static PySendResult yield_again(struct py_awaiter *awaiter, PyObject **out_value)
{
    if (awaiter->callback) { /* by something other than the waiting task */
        PyErr_SetString(PyExc_RuntimeError, "the value is being awaited already");
        return PYGEN_ERROR;
    }
    if (awaiter->blocking) {
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return fail(awaiter);
    }
    awaiter->blocking = true;
    *out_value = Py_NewRef((PyObject *)awaiter);
    return PYGEN_NEXT;
}

/* The subject has answered the poll with other than "pending". */
static PySendResult finish(struct py_awaiter *awaiter, enum py_poll how, PyObject *value,
                           PyObject **out_value)
{
    end(awaiter);
    if (how == PY_POLL_ERROR)
        return PYGEN_ERROR;
    *out_value = value;
    if (value)
        return PYGEN_RETURN;
    PyErr_SetNone(PyExc_StopAsyncIteration);
    return PYGEN_ERROR;
}

/* As with generators. */
static int refuse_if_running(const struct py_awaiter *awaiter)
{
    if (awaiter->phase != PY_AWAITER_RUNNING)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the awaited value is being asked for already");
    return -1;
}

/* Lets the loop run once, as asyncio.sleep(0) does. Nothing has been taken yet. */
static PySendResult pause_once(struct py_awaiter *awaiter, PyObject **out_value)
{
    struct py_bridge *bridge = py_bridge_of_running_loop(awaiter->state);
    if (!bridge)
        return PYGEN_ERROR;
    Py_DECREF((PyObject *)bridge);
    py_pace_reset();
    awaiter->phase = PY_AWAITER_PAUSED;
    *out_value = Py_NewRef(Py_None);
    return PYGEN_NEXT;
}

static PySendResult step(struct py_awaiter *awaiter, PyObject **out_value)
{
    PyObject *value = NULL;
    *out_value = NULL;
    switch (awaiter->phase) {
    case PY_AWAITER_FINISHED:
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited value");
        return PYGEN_ERROR;
    case PY_AWAITER_RUNNING:
        refuse_if_running(awaiter);
        return PYGEN_ERROR;
    case PY_AWAITER_WAITING:
        return yield_again(awaiter, out_value);
    case PY_AWAITER_CANCELLED:
        py_awaiter_raise_cancelled(awaiter);
        return fail(awaiter);
    case PY_AWAITER_IDLE:
        if (awaiter->waitable->is_stream && py_pace_is_due())
            return pause_once(awaiter, out_value);
        break;
    case PY_AWAITER_PAUSED:
    case PY_AWAITER_WOKEN:
        break;
    }
    awaiter->phase = PY_AWAITER_RUNNING;
    enum py_poll how = awaiter->waitable->poll(awaiter->subject, NULL, NULL, &value);
    if (how == PY_POLL_PENDING)
        how = start_waiting(awaiter, &value);
    if (how != PY_POLL_PENDING)
        return finish(awaiter, how, value, out_value);
    *out_value = Py_NewRef((PyObject *)awaiter);
    return PYGEN_NEXT;
}

/* ---- as an iterator ------------------------------------------------------------------------- */

/* `value` is what the coroutine gets; it is stolen. */
static void raise_stop(PyObject *value)
{
    /* PyErr_SetObject would take a tuple for the arguments, and an exception for the thing to
     * raise. */
    if (PyTuple_Check(value) || py_is_exception(value)) {
        PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
        if (stop)
            py_exception_raise(stop);
        Py_XDECREF(stop);
    } else {
        PyErr_SetObject(PyExc_StopIteration, value);
    }
    Py_DECREF(value);
}

static PySendResult awaiter_am_send(PyObject *self, PyObject *Py_UNUSED(value),
                                    PyObject **out_value)
{
    return step((struct py_awaiter *)self, out_value);
}

static PyObject *awaiter_next(PyObject *self)
{
    PyObject *value;
    PySendResult how = step((struct py_awaiter *)self, &value);
    if (how == PYGEN_NEXT)
        return value;
    if (how == PYGEN_RETURN)
        raise_stop(value);
    return NULL;
}

static PyObject *awaiter_send(PyObject *self, PyObject *Py_UNUSED(value))
{
    return awaiter_next(self);
}

/* Sets the exception given to throw() in one of its forms (type), (type, value, traceback),
 * (instance). */
static int set_thrown(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (py_is_exception(type)) {
        py_exception_raise(type);
        return 0;
    }
    if (!PyType_Check(type) ||
        !PyType_IsSubtype((PyTypeObject *)type, (PyTypeObject *)PyExc_BaseException)) {
        PyErr_Format(PyExc_TypeError, "throw() takes an exception, not %R", Py_TYPE(type));
        return -1;
    }
    PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
    return 0;
}

static PyObject *awaiter_throw(PyObject *self, PyObject *args)
{
    PyObject *type, *value = NULL, *traceback = NULL;
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    if (PyArg_ParseTuple(args, "O|OO:throw", &type, &value, &traceback) &&
        refuse_if_running(awaiter) == 0 &&
        set_thrown(type, value, traceback == Py_None ? NULL : traceback) == 0)
        fail(awaiter);
    return NULL;
}

static PyObject *awaiter_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    if (refuse_if_running(awaiter) < 0)
        return NULL;
    end(awaiter);
    Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------------------------- */

#define FASTCALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef awaiter_methods[] = {
    {"send", awaiter_send, METH_O, NULL},
    {"throw", awaiter_throw, METH_VARARGS, NULL},
    {"close", awaiter_close, METH_NOARGS, NULL},
    {"get_loop", py_awaiter_get_loop, METH_NOARGS, NULL},
    {"add_done_callback", FASTCALL(py_awaiter_add_done_callback), NULL},
    {"remove_done_callback", py_awaiter_remove_done_callback, METH_O, NULL},
    {"cancel", FASTCALL(py_awaiter_cancel), NULL},
    {"done", py_awaiter_done, METH_NOARGS, NULL},
    {"cancelled", py_awaiter_cancelled, METH_NOARGS, NULL},
    {"result", py_awaiter_result, METH_NOARGS, NULL},
    {"exception", py_awaiter_result, METH_NOARGS, NULL}, /* None, too, once it is done */
    {NULL},
};

static PyGetSetDef awaiter_getset[] = {
    {"_asyncio_future_blocking", py_awaiter_get_blocking, py_awaiter_set_blocking, NULL, NULL},
    {NULL},
};

static PyType_Slot awaiter_slots[] = {
    {Py_am_await, PyObject_SelfIter},   {Py_am_send, awaiter_am_send},
    {Py_tp_iter, PyObject_SelfIter},    {Py_tp_iternext, awaiter_next},
    {Py_tp_methods, awaiter_methods},   {Py_tp_getset, awaiter_getset},
    {Py_tp_traverse, awaiter_traverse}, {Py_tp_clear, awaiter_clear},
    {Py_tp_dealloc, awaiter_dealloc},   {0, NULL},
};

PyType_Spec py_awaiter_spec = {
    .name = "cwsandbox._cwsandbox.Awaiter",
    .basicsize = sizeof(struct py_awaiter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = awaiter_slots,
};
