/* Header fields that Python code gives, as pairs of name and value. Called with the GIL held. */
#pragma once

#include "grpc/metadata.h"
#include "py/compat.h"

/* As cws_metadata_add, for what `target` is. */
typedef enum cws_status py_metadata_add_fn(void *target, const char *name, size_t name_len,
                                           const char *value, size_t value_len,
                                           struct cws_error *err);

/* Adds one pair: a str, and a str or bytes. 0, or -1 with TypeError or what `add` says. */
int py_metadata_add(PyObject *field, py_metadata_add_fn *add, void *target);
