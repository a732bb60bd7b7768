/* Process: a running command. It is an operation whose value is made by the Python layer. Called
 * with the GIL held. */
#pragma once

#include "py/operation.h"
#include "py/reader.h"
#include "py/writer.h"
#include "sandbox/exec.h"

enum { PY_STDOUT, PY_STDERR };

/* Where a command runs, as far as it has to know. */
struct py_process_home {
    PyObject *sandbox;  /* the object that started it */
    PyObject *failures; /* a list: if the sandbox cannot be started, why is its first item */
    /* Borrowed: the exception that the sandbox was closed with; NULL while it was not. */
    PyObject *(*closed_by)(PyObject *sandbox);
};

struct py_process {
    struct py_operation op; /* core: struct cws_exec */
    struct py_process_home home;
    PyObject *command; /* tuple */
    PyObject *output;  /* Output, once asked for */
    struct py_stream streams[2];
    /* A writer must not keep the command's output. So writers hold a second object, the stand-in,
     * which tells them about the command and is not a keeper of its output. */
    struct py_process *stand_in; /* for its writers; NULL before the first one */
    struct py_process
        *principal; /* borrowed: a stand-in's Process; NULL: gone, or this is not a stand-in */
    struct py_input input; /* used by a stand-in */
};

extern PyType_Spec py_process_spec;

/* Takes over the reference on `exec`, also on failure, and references of its own on the rest. NULL
 * with an exception set. */
PyObject *py_process_new(struct py_state *state, struct cws_exec *exec,
                         const struct py_process_home *home, PyObject *command);

static inline struct cws_exec *py_process_exec(const struct py_process *process)
{
    return process->op.core;
}
