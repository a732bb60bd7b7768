/* Objects of the native types that programs make themselves, for their tests. Called with the GIL
 * held. */
#pragma once

#include "py/compat.h"

/* Py_tp_new for types whose own objects only this module makes. Gives an object of the Python class
 * of the same name in cwsandbox._sandbox.handmade instead, which takes the same arguments and says
 * that its class is this one. */
PyObject *py_handmade_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
