/* A unary call as an operation: a dict of fields out, a dict of fields back. */
#pragma once

#include "py/operation.h"

struct cws_channel;

/* Channel.unary without its parsing of arguments. `timeout_s` negative: none. NULL with an
 * exception set. */
PyObject *py_unary_start(struct py_state *state, struct cws_channel *channel, PyObject *method,
                         PyObject *request, double timeout_s);
