#include "py/await.h"

#include "py/bridge.h"

struct py_awaiter {
    PyObject_HEAD
    struct py_state *state;
    const struct py_waitable *waitable;
    PyObject *subject;
    unsigned generation;
    bool finished;
    /* While it waits: */
    struct py_bridge *bridge; /* held, for the letter's mailbox */
    struct py_letter *letter; /* NULL once it has come */
    struct cws_loop *relied;  /* told that somebody waits; NULL: not */
    PyObject *future;         /* asyncio's, which the letter completes */
    PyObject *steps;          /* the future's own iterator */
};

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

/* Ends the waiting, whether or not the wake-up came. */
static void stop_waiting(struct py_awaiter *awaiter)
{
    struct py_letter *letter = awaiter->letter;
    awaiter->letter = NULL;
    /* In a forked child the letter is the parent's, and a lock of its list may be held for ever. */
    if (letter && awaiter->generation == cws_loop_generation())
        py_letter_give_up(letter);
    if (awaiter->relied && awaiter->generation == cws_loop_generation())
        cws_loop_rely_end(awaiter->relied);
    awaiter->relied = NULL;
    Py_CLEAR(awaiter->steps);
    Py_CLEAR(awaiter->future);
    Py_CLEAR(awaiter->bridge);
}

static int complete_future(PyObject *future)
{
    PyObject *done = PyObject_CallMethod(future, "done", NULL);
    if (!done)
        return -1;
    int is_done = PyObject_IsTrue(done); /* cancelled, and its task has not run yet */
    Py_DECREF(done);
    if (is_done)
        return is_done < 0 ? -1 : 0;
    PyObject *set = PyObject_CallMethod(future, "set_result", "O", Py_None);
    Py_XDECREF(set);
    return set ? 0 : -1;
}

void py_awaiter_wake(struct py_awaiter *awaiter)
{
    awaiter->letter = NULL;
    if (!awaiter->future)
        return;
    PyObject *future = Py_NewRef(awaiter->future);
    if (complete_future(future) < 0)
        PyErr_WriteUnraisable(future);
    Py_DECREF(future);
}

/* Gives `value` (stolen) to the coroutine that awaits; NULL: the end of an asynchronous
 * iteration. */
static PyObject *finish(struct py_awaiter *awaiter, PyObject *value)
{
    awaiter->finished = true;
    if (!value) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return NULL;
    }
    /* Built by hand: PyErr_SetObject would take a tuple for the arguments, and an exception for
     * the thing to raise. */
    PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
    Py_DECREF(value);
    if (stop) {
        py_exception_raise(stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyObject *fail(struct py_awaiter *awaiter)
{
    awaiter->finished = true;
    return NULL;
}

/* Registers with the running loop. PY_POLL_READY when a value came meanwhile. */
static enum py_poll start_waiting(struct py_awaiter *awaiter, PyObject **out_value)
{
    PyObject *loop;
    awaiter->bridge = py_bridge_of_running_loop(awaiter->state, &loop);
    if (!awaiter->bridge)
        return PY_POLL_ERROR;
    awaiter->future = PyObject_CallMethod(loop, "create_future", NULL);
    Py_DECREF(loop);
    if (!awaiter->future)
        return PY_POLL_ERROR;
    awaiter->steps = PyObject_GetIter(awaiter->future);
    if (!awaiter->steps)
        return PY_POLL_ERROR;
    awaiter->letter = py_letter_new(awaiter->bridge, awaiter);
    if (!awaiter->letter)
        return PY_POLL_ERROR;
    struct cws_waiters *waiters;
    enum py_poll how = awaiter->waitable->poll(awaiter->subject, &awaiter->letter->letter.observer,
                                               &waiters, out_value);
    if (how != PY_POLL_PENDING)
        return how;
    awaiter->letter->waiters = waiters;
    awaiter->relied = awaiter->waitable->loop(awaiter->subject);
    if (awaiter->relied)
        cws_loop_rely_begin(awaiter->relied);
    return how;
}

/* Cancels the subject if the exception is the cancellation of the task that awaits. */
static void pass_on(struct py_awaiter *awaiter, PyObject *exception_type)
{
    PyObject *cancelled =
        py_state_import(&awaiter->state->task_cancelled_error, "asyncio", "CancelledError");
    if (!cancelled)
        PyErr_WriteUnraisable((PyObject *)awaiter);
    else if (PyErr_GivenExceptionMatches(exception_type, cancelled))
        awaiter->waitable->cancel(awaiter->subject);
}

/* An exception is set that ends the waiting: a cancellation is passed on to the subject. */
static void stop_with_exception(struct py_awaiter *awaiter)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    stop_waiting(awaiter);
    if (awaiter->waitable->cancel)
        pass_on(awaiter, type);
    PyErr_Restore(type, value, traceback);
}
/* Lets the future go one step on: what it yields, or NULL with *out_over set when it is done
 * without an exception. */
static PyObject *step_future(struct py_awaiter *awaiter, bool *out_over)
{
    *out_over = false;
    PyObject *yielded = PyIter_Next(awaiter->steps);
    if (yielded)
        return yielded;
    *out_over = !PyErr_Occurred();
    if (*out_over)
        stop_waiting(awaiter);
    else
        stop_with_exception(awaiter);
    return NULL;
}

static PyObject *awaiter_next(PyObject *self)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    if (awaiter->finished) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited value");
        return NULL;
    }
    if (awaiter->steps) {
        bool over;
        PyObject *yielded = step_future(awaiter, &over);
        if (yielded)
            return yielded;
        if (!over)
            return fail(awaiter);
    }
    PyObject *value = NULL;
    enum py_poll how = awaiter->waitable->poll(awaiter->subject, NULL, NULL, &value);
    if (how == PY_POLL_PENDING)
        how = start_waiting(awaiter, &value);
    if (how == PY_POLL_PENDING) {
        bool over;
        return step_future(awaiter, &over);
    }
    stop_waiting(awaiter);
    return how == PY_POLL_READY ? finish(awaiter, value) : fail(awaiter);
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
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    PyObject *type, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(args, "O|OO:throw", &type, &value, &traceback))
        return NULL;
    if (set_thrown(type, value, traceback == Py_None ? NULL : traceback) < 0)
        return NULL;
    if (!awaiter->finished)
        stop_with_exception(awaiter);
    awaiter->finished = true;
    return NULL;
}

static PyObject *awaiter_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    awaiter->finished = true;
    stop_waiting(awaiter);
    Py_RETURN_NONE;
}

static int awaiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(awaiter->subject);
    Py_VISIT((PyObject *)awaiter->bridge);
    Py_VISIT(awaiter->future);
    Py_VISIT(awaiter->steps);
    return 0;
}

static int awaiter_clear(PyObject *self)
{
    struct py_awaiter *awaiter = (struct py_awaiter *)self;
    stop_waiting(awaiter);
    awaiter->finished = true;
    Py_CLEAR(awaiter->subject);
    return 0;
}

static void awaiter_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    awaiter_clear(self);
    py_state_unref(((struct py_awaiter *)self)->state);
    py_object_free(self);
}

static PyMethodDef awaiter_methods[] = {
    {"send", awaiter_send, METH_O, NULL},
    {"throw", awaiter_throw, METH_VARARGS, NULL},
    {"close", awaiter_close, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot awaiter_slots[] = {
    {Py_am_await, PyObject_SelfIter},   {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaiter_next},     {Py_tp_methods, awaiter_methods},
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
