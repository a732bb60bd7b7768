#include "py/trace.h"

#include <string.h>

#include "py/args.h"
#include "py/metadata.h"
#include "py/queue.h"

/* ---- the two functions ---------------------------------------------------------------------- */

static void replace(PyObject **slot, PyObject *value)
{
    PyObject *before = *slot;
    *slot = value == Py_None ? NULL : Py_NewRef(value);
    Py_XDECREF(before);
}

PyObject *py_trace_install(PyObject *module, PyObject *args)
{
    struct py_state *state = py_state_of_module(module);
    PyObject *begin, *ended;
    if (!PyArg_ParseTuple(args, "OO:trace", &begin, &ended))
        return NULL;
    bool are_callable = PyCallable_Check(begin) && PyCallable_Check(ended);
    if (!are_callable && !(begin == Py_None && ended == Py_None)) {
        PyErr_SetString(PyExc_TypeError, "trace() takes two callables, or None twice");
        return NULL;
    }
    replace(&state->trace_begin, begin);
    replace(&state->trace_ended, ended);
    Py_RETURN_NONE;
}

/* Reports the exception that is set. -1, and it stays, if it is one that ends things. */
static int report(PyObject *function)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyErr_WriteUnraisable(function);
    return 0;
}

int py_trace_call_ended(struct py_state *state)
{
    PyObject *ended = Py_XNewRef(state->trace_ended);
    if (!ended) /* uninstalled: a coroutine takes what is left */
        return 0;
    PyObject *done = PyObject_CallNoArgs(ended);
    int rc = done ? 0 : report(ended);
    Py_XDECREF(done);
    Py_DECREF(ended);
    return rc;
}

/* ---- the start of an operation -------------------------------------------------------------- */

static enum cws_status add_field(void *trace, const char *name, size_t name_len, const char *value,
                                 size_t value_len, struct cws_error *err)
{
    return cws_trace_add(trace, name, name_len, value, value_len, err);
}

/* A field that cannot be sent is reported and left out. 0, or -1 with an exception. */
static int add_fields(struct cws_trace *trace, PyObject *fields)
{
    PyObject *items = PySequence_Tuple(fields);
    if (!items)
        return -1;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_Size(items); i++)
        if (py_metadata_add(PyTuple_GetItem(items, i), add_field, trace) < 0)
            rc = report(PyTuple_GetItem(items, i));
    Py_DECREF(items);
    return rc;
}

/* `answer` is begin()'s. NULL with an exception set. */
static struct cws_trace *new_trace(struct py_state *state, PyObject *answer)
{
    PyObject *owner, *fields;
    if (!PyTuple_Check(answer)) {
        PyErr_Format(PyExc_TypeError, "begin() must return None or a tuple, got %.200R", answer);
        return NULL;
    }
    if (!PyArg_ParseTuple(answer, "OO;begin() must return a pair", &owner, &fields))
        return NULL;
    struct cws_queue *queue = py_queue_in(&state->traces);
    if (!queue)
        return NULL;
    struct cws_trace *trace = cws_trace_new(queue, Py_NewRef(owner));
    if (!trace) {
        Py_DECREF(owner);
        return (struct cws_trace *)PyErr_NoMemory();
    }
    if (add_fields(trace, fields) == 0)
        return trace;
    py_trace_drop(trace);
    return NULL;
}

int py_trace_begin_traced(struct py_state *state, const struct py_trace_what *what,
                          struct cws_trace **out_trace)
{
    PyObject *begin = Py_NewRef(state->trace_begin);
    PyObject *kind = PyUnicode_FromString(what->kind);
    PyObject *answer =
        kind ? PyObject_CallFunctionObjArgs(begin, kind, what->subject,
                                            what->detail ? what->detail : Py_None, NULL)
             : NULL;
    if (answer && answer != Py_None)
        *out_trace = new_trace(state, answer);
    int rc = PyErr_Occurred() ? report(begin) : 0;
    Py_XDECREF(answer);
    Py_XDECREF(kind);
    Py_DECREF(begin);
    return rc;
}

static PyObject *take_owner(struct cws_trace *trace)
{
    PyObject *owner = trace->owner;
    trace->owner = NULL;
    return owner;
}

void py_trace_drop(struct cws_trace *trace)
{
    if (!trace)
        return;
    Py_XDECREF(take_owner(trace));
    cws_trace_unref(trace);
}

PyObject *py_trace_owner(const struct cws_trace *trace)
{
    PyObject *owner = trace ? trace->owner : NULL;
    return Py_NewRef(owner ? owner : Py_None);
}

/* ---- Ended ---------------------------------------------------------------------------------- */

static PyObject *ended_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct py_state *state = py_state_of_type(type);
    return state ? py_queue_new(type, args, kwargs, "Ended", state, &state->traces) : NULL;
}

static PyObject *ended_take(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct py_queue *self = (struct py_queue *)object;
    if (py_state_check_fork(self->generation, "Ended") < 0)
        return NULL;
    struct cws_trace *trace = cws_trace_take(self->queue);
    if (!trace)
        Py_RETURN_NONE;
    const struct cws_trace_end *end = &trace->end;
    PyObject *owner = take_owner(trace);
    PyObject *text = end->text
                         ? PyUnicode_DecodeUTF8(end->text, (Py_ssize_t)strlen(end->text), "replace")
                         : Py_NewRef(Py_None);
    PyObject *taken = text ? Py_BuildValue("(OsiiOzKK)", owner, end->how, end->exit_code, end->code,
                                           text, end->reason, (unsigned long long)end->sent_ns,
                                           (unsigned long long)end->ended_ns)
                           : NULL;
    Py_XDECREF(text);
    Py_XDECREF(owner);
    cws_trace_unref(trace);
    if (taken)
        self->state->traces_taken++;
    return taken;
}

static PyObject *ended_done(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct py_queue *self = (struct py_queue *)object;
    if (self->state->traces_taken == 0) {
        PyErr_SetString(PyExc_RuntimeError, "done() without a take()");
        return NULL;
    }
    self->state->traces_taken--;
    Py_RETURN_NONE;
}

static enum py_poll poll_ended(PyObject *subject, struct cws_observer *observer,
                               struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_queue *self = (struct py_queue *)subject;
    if (py_state_check_fork(self->generation, "Ended") < 0)
        return PY_POLL_ERROR;
    bool is_ready =
        observer ? cws_queue_observe(self->queue, observer) : cws_queue_has_any(self->queue);
    if (is_ready) {
        *out_value = Py_NewRef(Py_None);
        return PY_POLL_READY;
    }
    if (observer)
        *out_waiters = &self->queue->waiters;
    return PY_POLL_PENDING;
}

static const struct py_waitable next_ended = {.poll = poll_ended, .loop = py_queue_no_loop};

static PyObject *ended_anext(PyObject *object)
{
    return py_awaiter_new(((struct py_queue *)object)->state, object, &next_ended);
}

static PyMethodDef ended_methods[] = {
    {"take", ended_take, METH_NOARGS,
     PyDoc_STR("take($self)\n--\n\nThe owner of the first, and how it has ended; None if there is "
               "none. done() must follow.")},
    {"done", ended_done, METH_NOARGS,
     PyDoc_STR("done($self)\n--\n\nWhat take() gave has its span ended: who asks for an outcome "
               "needs not wait for it.")},
    {NULL},
};

static PyType_Slot ended_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The traced operations that have ended. `async for` wakes "
                                  "whenever there are any, and take()\nis for them.")},
    {Py_tp_new, ended_new},
    {Py_tp_methods, ended_methods},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, ended_anext},
    {Py_tp_dealloc, py_queue_dealloc},
    {0, NULL},
};

PyType_Spec py_ended_spec = {
    .name = "cwsandbox._cwsandbox.Ended",
    .basicsize = sizeof(struct py_queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ended_slots,
};
