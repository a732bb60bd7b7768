/*
 * FileOperation: reading or writing a whole file. The core makes one call; where that is not
 * enough, Python code takes the operation from UnfinishedFiles and completes it. So nobody has to
 * hold or await an operation for it to end. Called with the GIL held.
 *
 * A write whose object is dropped before its end goes on. What it needs moves to a new object,
 * which comes out of UnfinishedFiles, too. A read that is dropped is cancelled.
 */
#pragma once

#include "py/home.h"
#include "py/operation.h"
#include "sandbox/sandbox.h"

extern PyType_Spec py_file_spec;
extern PyType_Spec py_unfinished_spec;

/* The methods read_file and write_file of a sandbox at `home`. A new FileOperation, or NULL with an
 * exception set. */
typedef PyObject *py_file_start_fn(struct py_state *state, struct cws_sandbox *core,
                                   const struct py_home *home, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *kwnames);
py_file_start_fn py_file_read;
py_file_start_fn py_file_write;
