/* Parses the arguments of methods, and converts the kinds of values that several methods take. All
 * functions are called with the GIL held. */
#pragma once

#include "py/compat.h"

struct py_params {
    const char *function;     /* for messages */
    const char *const *names; /* of all parameters, in order */
    int count;
    int positional; /* how many of the first may be given by position */
    int required;   /* how many of the first must be given */
};

/* Fills out[count] with borrowed references, NULL for arguments that were not given. 0, or -1 with
 * TypeError. */
int py_args_parse(const struct py_params *params, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, PyObject **out);

/* As py_args_parse, for the tuple and the dict (may be NULL) that a constructor gets. */
int py_args_parse_call(const struct py_params *params, PyObject *args, PyObject *kwargs,
                       PyObject **out);

/* Sets a TypeError for a value that may be secret: "<name> must be <rule>, got" and only the name
 * of its type. */
void py_arg_refuse_secret(const char *name, const char *rule, PyObject *value);

/* Checks that it is an exception instance. 0, or -1 with TypeError. */
int py_arg_exception(PyObject *value, const char *name);

/* Converts a number of seconds. *out_s is -1 (no limit) if `value` is NULL or None. Returns 0, or
 * -1 with TypeError, or with ValueError for NaN and, unless `negative_is_zero`, for a negative
 * number. */
int py_arg_seconds(PyObject *value, const char *name, bool negative_is_zero, double *out_s);

/* How long to wait: py_arg_seconds for "timeout", with negative_is_zero. */
int py_arg_timeout(PyObject *value, double *out_s);

/* The UTF-8 text of a str without NUL characters; the str owns it. NULL with TypeError or
 * ValueError. `out_len` may be NULL. */
const char *py_arg_text(PyObject *value, const char *name, size_t *out_len);

/* As py_arg_text, for the value of `key` in a mapping, which may be secret: errors do not show it.
 */
const char *py_arg_secret_text(PyObject *value, const char *name, PyObject *key);

/* As py_arg_text, for item `index` of a sequence. */
const char *py_arg_item_text(PyObject *value, const char *name, Py_ssize_t index);
