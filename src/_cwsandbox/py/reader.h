/* StreamReader: the output of a process as lines of text, or as text as it arrives. */
#pragma once

#include "py/process.h"

extern PyType_Spec py_reader_spec;

/* A new reference to the process's reader of one stream's lines. The process does not hold it:
 * there is no cycle. */
PyObject *py_reader_of(struct py_process *process, int which);
