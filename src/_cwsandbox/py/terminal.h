/*
 * TerminalSession: a running command with a terminal. It is an operation whose value is made by the
 * Python layer. A session that nobody refers to any more is ended. Called with the GIL held.
 */
#pragma once

#include "py/command.h"
#include "py/reader.h"
#include "py/writer.h"

struct py_terminal {
    struct py_command base;
    struct py_stream output;
    struct py_input input;
};

extern PyType_Spec py_terminal_spec;

/* As py_command_new; the reference on `exec` is a keeper's. */
PyObject *py_terminal_new(struct py_state *state, struct cws_exec *exec, const struct py_home *home,
                          PyObject *words);

/* The size of a terminal. 0, or -1 with TypeError or ValueError. */
int py_terminal_size(PyObject *width, PyObject *height, struct cws_exec_size *out_size);
