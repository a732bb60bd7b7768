/*
 * Kinds of operations whose values and exceptions are made by Python code. Each kind has a row in
 * kind.c, and its own makers, which configure() installs. A new kind needs no new hook. Called with
 * the GIL held.
 */
#pragma once

#include "py/state.h"

/* For the module's method table, METH_FASTCALL | METH_KEYWORDS: (kind, *, make_value, make_error).
 * ValueError: there is no such kind. TypeError: a maker is missing or not callable, or the kind has
 * no such maker. */
PyObject *py_kind_configure(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);

/* 0, or -1 with RuntimeError if configure() was not called for the kind. */
int py_kind_check(const struct py_state *state, enum py_kind kind);

/* Calls make_error(what, why). A new reference to the exception that it returns. NULL with another
 * exception set if it raised one, or if it returned something else. */
PyObject *py_kind_make_error(struct py_state *state, enum py_kind kind, PyObject *what,
                             PyObject *why);
