/* Operations that Python code completes: Promise, and an OperationRef that wraps a
 * concurrent.futures.Future. Called with the GIL held. */
#pragma once

#include "py/operation.h"

extern PyType_Spec py_promise_spec;

/* OperationRef.__init__: ties `op` to `future`. 0, or -1 with TypeError. */
int py_promise_wrap(struct py_operation *op, PyObject *future);
