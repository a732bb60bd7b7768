/* Output: what a command has printed. Kept by its Process and by results, which must not keep
 * the Process: it keeps them. */
#pragma once

#include "py/state.h"
#include "sandbox/exec.h"

extern PyType_Spec py_output_spec;

/* A new reference; takes a reference of its own on `exec`. When the last one that kept its output
 * is gone already, there is nothing left to keep: this one counts all of it as omitted. NULL with
 * an exception set. */
PyObject *py_output_new(struct py_state *state, struct cws_exec *exec);
