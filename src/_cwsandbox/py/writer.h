/*
 * StreamWriter: writes to the input queue of an operation of any kind. Anything that takes input
 * embeds a py_input. Called with the GIL held.
 */
#pragma once

#include "py/operation.h"
#include "sandbox/input.h"

/* What users are told is the queue's depth: the published SDK's value. Here writes wait for flow
 * control instead. */
#define PY_WRITER_QUEUE_SIZE 16

/* The state of one input that outlives its writers. Embedded in the operation's object, which must
 * visit `error` in its tp_traverse. */
struct py_input {
    struct py_operation *op; /* the object that embeds this; `queue` lives as long as it */
    py_failure_fn *failure;
    struct cws_input *queue;
    struct py_writer *writer; /* borrowed: the writer, if there is one */
    PyObject *error;          /* given to set_exception() */
};

extern PyType_Spec py_writer_spec;

void py_input_init(struct py_input *input, py_failure_fn *failure, struct py_operation *op,
                   struct cws_input *queue);

/* A new reference to the input's writer, made if there is none. NULL with an exception set. The
 * writer holds the operation; the operation does not hold the writer, so there is no cycle. */
PyObject *py_writer_of(struct py_input *input);

/* As the writer's write(data): an operation. NULL with an exception set. */
PyObject *py_input_write(const struct py_input *input, PyObject *data);
