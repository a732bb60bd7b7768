/* A unary call as an operation: sends a dict of fields and returns a dict of fields. */
#pragma once

#include "py/operation.h"

struct cws_channel;

/* Channel.unary of `subject` after its arguments were parsed: a new OperationRef. `timeout_s`
 * negative: none.
 * NULL with an exception set. */
PyObject *py_unary_start(struct py_state *state, struct cws_channel *channel, PyObject *subject,
                         PyObject *method, PyObject *request, double timeout_s);
/* Channel.connect, likewise: its value is None. */
PyObject *py_unary_connect(struct py_state *state, struct cws_channel *channel, double timeout_s);
