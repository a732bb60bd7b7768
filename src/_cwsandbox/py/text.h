/*
 * Output as text: UTF-8, with U+FFFD for what is none.
 */
#pragma once

#include "py/compat.h"
#include "sandbox/output.h"

/* All pieces of the line as one str. NULL with MemoryError. */
PyObject *py_text_of_line(const struct cws_output_line *line);

/* decode(data, /): data.decode("utf-8", "replace"). */
PyObject *py_text_decode(PyObject *module, PyObject *data);
