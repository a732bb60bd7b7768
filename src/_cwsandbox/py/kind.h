/*
 * Kinds of operations whose values and exceptions Python code makes. Each has a row in kind.c and
 * makers of its own, installed by configure(): a new kind needs no new hook.
 */
#pragma once

#include "py/state.h"

/* For the module's method table, METH_FASTCALL | METH_KEYWORDS: (kind, *, make_value, make_error).
 * ValueError: there is no such kind. TypeError: a maker is missing, or one that the kind has not.
 */
PyObject *py_kind_configure(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

/* 0, or -1 with RuntimeError when configure() was not called for the kind. */
int py_kind_check(const struct py_state *state, enum py_kind kind);

/* What make_error makes of what has failed and why: a new reference to an exception. NULL with
 * another exception set: it could not be made. */
PyObject *py_kind_make_error(struct py_state *state, enum py_kind kind, PyObject *what,
                             PyObject *why);
