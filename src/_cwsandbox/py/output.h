/* Output: what a command has printed. Both its Process and its results hold it. Results do not hold
 * the Process, since the Process holds its result and that would be a cycle. Called with the GIL
 * held. */
#pragma once

#include "py/state.h"
#include "sandbox/exec.h"

extern PyType_Spec py_output_spec;

/* A new Output, which is a keeper of `exec` (cws_exec_keep). If the last keeper is gone already,
 * nothing is left to keep, and this Output reports all of it as omitted. NULL with an exception
 * set. */
PyObject *py_output_new(struct py_state *state, struct cws_exec *exec);
