/*
 * Awaiting a waitable: the iterator behind `await`. If the value is ready it is returned at once,
 * without a trip through the event loop. Otherwise the awaiter acts as the future that the task
 * waits for, and the loop's bridge wakes the task. Called with the GIL held.
 */
#pragma once

#include "py/state.h"
#include "py/wait.h"

extern PyType_Spec py_awaiter_spec;

/* A new awaitable iterator over one value of `subject`. NULL with an exception set. */
PyObject *py_awaiter_new(struct py_state *state, PyObject *subject,
                         const struct py_waitable *waitable);

/* As py_awaiter_new, but reuses the awaiter of the previous call if nobody else holds it any more.
 * *spare (NULL at first) is the caller's own reference to that awaiter. */
PyObject *py_awaiter_again(PyObject **spare, struct py_state *state, PyObject *subject,
                           const struct py_waitable *waitable);
