/* Channel: the connections to one authority. */
#pragma once

#include "py/state.h"

struct cws_channel;

extern PyType_Spec py_channel_spec;

/* Borrowed. NULL with TypeError if `object` is not a Channel, or with RuntimeError if it was made
 * before fork(). */
struct cws_channel *py_channel_of(struct py_state *state, PyObject *object);
