/*
 * Awaiting a waitable: the iterator behind `await`. A value that is there is returned at once,
 * without a trip through the event loop; else the awaiter is the future that the task waits for,
 * and the loop's bridge calls the task back.
 */
#pragma once

#include "py/state.h"
#include "py/wait.h"

extern PyType_Spec py_awaiter_spec;

/* A new awaitable iterator over one value of `subject`. NULL with an exception set. */
PyObject *py_awaiter_new(struct py_state *state, PyObject *subject,
                         const struct py_waitable *waitable);

/* As py_awaiter_new; the awaiter of the call before is used again if nobody has it any more. *spare
 * (NULL at first) is the caller's own reference to it. */
PyObject *py_awaiter_again(PyObject **spare, struct py_state *state, PyObject *subject,
                           const struct py_waitable *waitable);
