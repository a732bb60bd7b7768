/* Counts of what is alive, for leak tests. */
#pragma once

#include "py/state.h"

/* A new dict; see stats() in _cwsandbox.pyi. NULL with an exception set. */
PyObject *py_stats(struct py_state *state);
