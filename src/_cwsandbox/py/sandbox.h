/* SandboxCore: the native side of one sandbox. */
#pragma once

#include "py/state.h"

extern PyType_Spec py_sandbox_spec;

/* Borrowed: what close() was given, NULL while it was not called. `sandbox` is a SandboxCore. */
PyObject *py_sandbox_closed_by(PyObject *sandbox);
