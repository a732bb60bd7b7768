/* Members of tar archives, for Python. Called with the GIL held. */
#pragma once

#include "py/compat.h"

/* small_file(place, name, /), METH_FASTCALL. */
PyObject *py_member_small_file(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
