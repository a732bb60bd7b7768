/*
 * Python.h, and what differs between Python versions, and between the Limited API and the full API.
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

/* Takes the current exception, as one object with its traceback, and clears it. NULL if none is
 * set. */
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

/* Raises the instance `exception`, with its traceback. The reference is not stolen. */
static inline void py_exception_raise(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
}

static inline int py_is_exception(PyObject *value)
{
    return PyObject_TypeCheck(value, (PyTypeObject *)PyExc_BaseException);
}

/* A new reference to the target of the weak reference `ref`; NULL, without an exception, if that is
 * gone. This calls `ref`, because PyWeakref_GetObject is deprecated and PyWeakref_GetRef is newer
 * than our Limited API. */
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

/* The last step of a tp_dealloc: frees the object's memory and drops its reference to its type. */
static inline void py_object_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(self);
    Py_DECREF(type);
}
