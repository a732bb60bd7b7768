/*
 * Awaiting a waitable: the iterator behind `await`. A value that is there is returned at once,
 * without a trip through the event loop; else an asyncio future is awaited that the loop's bridge
 * completes.
 */
#pragma once

#include "py/state.h"
#include "py/wait.h"

struct py_awaiter;

extern PyType_Spec py_awaiter_spec;

/* A new awaitable iterator over one value of `subject`. NULL with an exception set. */
PyObject *py_awaiter_new(struct py_state *state, PyObject *subject,
                         const struct py_waitable *waitable);

/* Attached, on the loop's thread: what it waits for has changed. Its letter is used up. */
void py_awaiter_wake(struct py_awaiter *awaiter);
