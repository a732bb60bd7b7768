/*
 * A sandbox's log as an operation. Python code sees its reader only; a log that has no reader any
 * more is cancelled. Called with the GIL held.
 */
#pragma once

#include "py/home.h"
#include "py/reader.h"
#include "sandbox/log.h"

extern PyType_Spec py_log_spec;

/* The arguments of stream_logs(). Their text stays valid as long as they live. 0, or -1 with
 * TypeError or ValueError. */
int py_log_options(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   struct cws_log_options *out_options);

/* A new reader of lines. Takes over the reference on `log`, also on failure. NULL with an exception
 * set. */
PyObject *py_log_reader(struct py_state *state, struct cws_log *log, const struct py_home *home);
