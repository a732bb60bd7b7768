#include "py/state.h"

#include "io/queue.h"
#include "py/wait.h"

struct py_state *py_state_new(void)
{
    struct py_state *state = PyMem_Calloc(1, sizeof(*state));
    if (!state)
        return (struct py_state *)PyErr_NoMemory();
    cws_list_init(&state->bridges);
    return py_state_ref(state);
}

struct py_state *py_state_ref(struct py_state *state)
{
    state->refs++;
    return state;
}

void py_state_unref(struct py_state *state)
{
    if (!state || --state->refs > 0)
        return;
    py_wait_free_spare(state);
    cws_queue_unref(state->unfinished_files);
    cws_queue_unref(state->traces);
    cws_queue_unref(state->refusals);
    PyMem_Free(state);
}

struct py_state *py_state_of_module(PyObject *module)
{
    return *(struct py_state **)PyModule_GetState(module);
}

struct cws_loop *py_state_loop(struct py_state *state)
{
    struct cws_error err;
    struct cws_loop *loop = cws_loop_default(&err);
    if (!loop) {
        PyErr_Format(PyExc_RuntimeError, "the I/O thread is not available: %s", err.text);
        return NULL;
    }
    state->loop = loop;
    return loop;
}

struct py_state *py_state_of_type(PyTypeObject *type)
{
    /* A class made in Python belongs to no module; one of its bases does. */
    for (PyTypeObject *base = type; base; base = PyType_GetSlot(base, Py_tp_base)) {
        struct py_state **state = PyType_GetModuleState(base);
        if (state)
            return *state;
        if (!PyErr_ExceptionMatches(PyExc_TypeError))
            return NULL;
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_SystemError, "the type is not one of this module's");
    return NULL;
}

PyObject *py_repr(PyObject *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyObject *name = what ? PyType_GetName(Py_TYPE(self)) : NULL;
    PyObject *text = name ? PyUnicode_FromFormat("<%U %U>", name, what) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(what);
    return text;
}

PyObject *py_refuse_alloc(PyTypeObject *type, Py_ssize_t Py_UNUSED(count))
{
    PyErr_Format(PyExc_TypeError, "cannot create instances of %R", type);
    return NULL;
}

int py_state_check_fork(unsigned generation, const char *what)
{
    if (generation == cws_loop_generation())
        return 0;
    PyErr_Format(PyExc_RuntimeError,
                 "this %s was made before fork() and belongs to the parent process", what);
    return -1;
}

PyObject *py_state_import(PyObject **slot, const char *module, const char *name)
{
    if (*slot)
        return *slot;
    PyObject *imported = PyImport_ImportModule(module);
    if (!imported)
        return NULL;
    PyObject *value = PyObject_GetAttrString(imported, name);
    Py_DECREF(imported);
    if (!value)
        return NULL;
    /* Importing runs Python: another thread may have been here meanwhile. */
    if (*slot)
        Py_DECREF(value);
    else
        *slot = value;
    return *slot;
}

PyObject *py_state_name(PyObject **slot, const char *text)
{
    if (!*slot)
        *slot = PyUnicode_InternFromString(text);
    return *slot;
}

static PyObject *raise_class(PyObject *class)
{
    if (class)
        PyErr_SetNone(class);
    return NULL;
}

PyObject *py_state_raise_cancelled(struct py_state *state)
{
    return raise_class(
        py_state_import(&state->cancelled_error, "concurrent.futures", "CancelledError"));
}

PyObject *py_state_raise_task_cancelled(struct py_state *state)
{
    return raise_class(py_state_import(&state->task_cancelled_error, "asyncio", "CancelledError"));
}
