/*
 * StreamWriter: writes into an input queue of an operation, whatever the operation is. What takes
 * input embeds a py_input.
 */
#pragma once

#include "py/operation.h"
#include "sandbox/stdin.h"

/* Told to users as the depth of the queue that the published SDK has; here writes wait under
 * flow control instead. */
#define PY_WRITER_QUEUE_SIZE 16

/* One input as its writers have left it; embedded in the operation's object, which shows `error` to
 * the garbage collector. */
struct py_input {
    struct py_operation *op; /* the object that this is embedded in; `queue` lives as long */
    py_failure_fn *failure;
    struct cws_stdin *queue;
    struct py_writer *writer; /* borrowed: the one in existence, if any */
    PyObject *error;          /* of set_exception() */
};

extern PyType_Spec py_writer_spec;

void py_input_init(struct py_input *input, py_failure_fn *failure, struct py_operation *op,
                   struct cws_stdin *queue);

/* A new reference to the input's writer. The writer holds the operation, which does not hold it:
 * there is no cycle. */
PyObject *py_writer_of(struct py_input *input);
