/*
 * Makes Python objects of output. Text is UTF-8; bytes that are not become U+FFFD. Called with the
 * GIL held.
 */
#pragma once

#include "py/compat.h"
#include "sandbox/output.h"

/* All pieces of the line as one str. NULL with MemoryError. */
PyObject *py_text_of_line(const struct cws_output_line *line);

/* All pieces of the line as one bytes object. NULL with MemoryError. */
PyObject *py_bytes_of_line(const struct cws_output_line *line);

/* decode(data, /): data.decode("utf-8", "replace"). */
PyObject *py_text_decode(PyObject *module, PyObject *data);
