/*
 * A running command as an operation: what Process and TerminalSession share. Its value and its
 * exceptions are made by the Python layer. Called with the GIL held.
 */
#pragma once

#include "py/home.h"
#include "py/operation.h"
#include "py/reader.h"
#include "sandbox/exec.h"

struct py_command {
    struct py_operation op; /* core: struct cws_exec */
    enum py_kind kind;      /* whose makers make its value and its exceptions */
    struct py_home home;
    PyObject *words; /* tuple */
};

/* Readies a new object of a type derived from OperationRef, which begins with a py_command. `how`
 * says what kind of reference on `exec` it takes over, also on failure. The other references are
 * its own. NULL with an exception set. */
PyObject *py_command_new(PyTypeObject *type, struct py_state *state, enum py_kind kind,
                         const struct py_source *how, struct cws_exec *exec,
                         const struct py_home *home, PyObject *words);
int py_command_traverse(PyObject *self, visitproc visit, void *arg);
void py_command_dealloc(PyObject *self);

/* For the sources of such operations. */
struct cws_future *py_command_future(void *core);
int py_command_take(struct py_operation *op);
bool py_command_cancel(struct py_operation *op);

static inline struct cws_exec *py_command_exec(const struct py_command *command)
{
    return command->op.core;
}

bool py_command_is_done(const struct py_command *command);
/* For one that is done: whether it ran to its end, with whatever exit code. */
bool py_command_has_exited(const struct py_command *command);
bool py_command_is_cancelled(const struct py_command *command);

/* A py_failure_fn. A command that ran to its end has none, whatever result() makes of its exit
 * code. Nor has one that was cancelled: who did that knows. */
int py_command_failure(struct py_operation *op, PyObject **out_failure);
/* As py_stream_kind.gap_error. */
PyObject *py_command_gap_error(const struct py_stream *stream, size_t len);

/* Methods and attributes of both types. */
PyObject *py_command_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
PyObject *py_command_returncode(PyObject *self, void *closure);
PyObject *py_command_words(PyObject *self, void *closure);
PyObject *py_command_sandbox(PyObject *self, void *closure);
PyObject *py_command_timeout(PyObject *self, void *closure);
/* Says what is known, and neither waits nor has the result made. */
PyObject *py_command_repr(PyObject *self);
