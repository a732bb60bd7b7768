/*
 * Python.h, and what differs between the Python versions and between the Limited API and the full
 * one.
 *
 * This folder is written to the Limited API of 3.11, so that one binary serves 3.11 and later; a
 * free-threaded build compiles the same code with the full API and runs with the GIL on: no
 * Py_mod_gil slot is declared, and module.c refuses to run without it.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <structmember.h> /* T_PYSSIZET: Py_T_PYSSIZET comes only with 3.12 */

#include "base/base.h"

/* The exception that is set, taken off the thread, as one object with its traceback; NULL when
 * none is. */
static inline PyObject *py_exception_take(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Raises the instance `exception`; it keeps its traceback and is not stolen. */
static inline void py_exception_raise(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
}

static inline int py_is_exception(PyObject *value)
{
    return PyObject_TypeCheck(value, (PyTypeObject *)PyExc_BaseException);
}

/* A new reference to what the weak reference `ref` is for; NULL when that is gone. Asked by calling
 * it, as PyWeakref_GetObject is deprecated and PyWeakref_GetRef newer than our Limited API. */
static inline PyObject *py_weakref_target(PyObject *ref)
{
    PyObject *target = PyObject_CallNoArgs(ref);
    if (!target) {
        PyErr_Clear();
        return NULL;
    }
    if (target != Py_None)
        return target;
    Py_DECREF(target);
    return NULL;
}

/* For tp_dealloc, last: gives the object's memory back, and the reference it has on its type. */
static inline void py_object_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(self);
    Py_DECREF(type);
}
