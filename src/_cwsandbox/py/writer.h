/* StreamWriter: standard input of a process. */
#pragma once

#include "py/process.h"

/* Told to users as the depth of the queue that the published SDK has; here writes wait under
 * flow control instead. */
#define PY_WRITER_QUEUE_SIZE 16

extern PyType_Spec py_writer_spec;

/* A new reference to the process's writer. The process does not hold it: there is no cycle. */
PyObject *py_writer_of(struct py_process *process);
