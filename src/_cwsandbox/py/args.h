/* Arguments of methods: matching them to names, and the conversions several methods share. */
#pragma once

#include "py/compat.h"

struct py_params {
    const char *function;     /* for messages */
    const char *const *names; /* all of them, in order */
    int count;
    int positional; /* the first so many may be given without their name */
    int required;   /* the first so many must be given */
};

/* Fills out[count] with borrowed references, NULL for what was not given. 0, or -1 with
 * TypeError. */
int py_args_parse(const struct py_params *params, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, PyObject **out);

/* As py_args_parse, for the tuple and dict (may be NULL) that a constructor is given. */
int py_args_parse_call(const struct py_params *params, PyObject *args, PyObject *kwargs,
                       PyObject **out);

/* TypeError for a value that may be a secret: says "`name` must be `rule`, got" and its type's name
 * only. */
void py_arg_refuse_secret(const char *name, const char *rule, PyObject *value);

/* Seconds; -1 when not given or None: no limit. -1 with TypeError, or ValueError for NaN and,
 * unless `negative_is_zero`, for a negative number. */
int py_arg_seconds(PyObject *value, const char *name, bool negative_is_zero, double *out_s);

/* How long to wait: as py_arg_seconds of "timeout" with negative_is_zero. */
int py_arg_timeout(PyObject *value, double *out_s);

/* A str without NUL characters, as UTF-8 owned by the str. TypeError, ValueError. NULL on
 * failure. `out_len` may be NULL. */
const char *py_arg_text(PyObject *value, const char *name, size_t *out_len);

/* As py_arg_text, for item `index` of a sequence. */
const char *py_arg_item_text(PyObject *value, const char *name, Py_ssize_t index);
