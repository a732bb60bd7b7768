/* Waiting for some of many operations at once. */
#pragma once

#include "py/state.h"

/* wait_many(operations, count, timeout), METH_FASTCALL | METH_KEYWORDS. */
PyObject *py_wait_many(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames);
