/* Process: a running command, which is an operation with a value made by the Python layer. */
#pragma once

#include "py/operation.h"
#include "sandbox/exec.h"

struct py_sandbox;
struct py_reader;
struct py_writer;

/* One output stream as its reader has left it; here, as readers come and go. */
struct py_stream {
    struct cws_output *output;
    struct py_reader *reader; /* borrowed: that of lines in existence, if any */
    unsigned readers;         /* in existence, whatever of */
    bool has_failed;          /* the failure of the process was raised by the reader */
};

enum { PY_STDOUT, PY_STDERR };

struct py_process {
    struct py_operation op; /* core: struct cws_exec */
    PyObject *sandbox;      /* SandboxCore */
    PyObject *failures;     /* the sandbox's list of the time: holds the exception of fail() */
    PyObject *command;      /* tuple */
    PyObject *output;       /* Output, once asked for */
    bool check;
    struct py_stream streams[2];
    struct py_writer *writer; /* borrowed: the one in existence, if any */
    PyObject *stdin_error;    /* StreamWriter.set_exception */
};

extern PyType_Spec py_process_spec;

/* Takes over the reference on `exec`, also on failure. NULL with an exception set. */
PyObject *py_process_new(struct py_state *state, struct cws_exec *exec, PyObject *sandbox,
                         PyObject *failures, PyObject *command, bool check);

static inline struct cws_exec *py_process_exec(const struct py_process *process)
{
    return process->op.core;
}

/* Of one that is done: it ran to its end, with whatever exit code. */
bool py_process_has_exited(const struct py_process *process);

/* Of one that is done: somebody has cancelled it. */
bool py_process_is_cancelled(const struct py_process *process);

/* Raises that `len` bytes of a stream are missing. */
void py_process_raise_gap(struct py_process *process, int which, size_t len);

/* Of one that is done: a new reference to the exception that result() raises, NULL when it has
 * exited or was cancelled. 0, or -1 with an exception set. */
int py_process_failure(struct py_process *process, PyObject **out_failure);

/* Of one that is done and has not exited: raises why. */
void py_process_raise_failure(struct py_process *process);
