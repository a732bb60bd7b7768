/*
 * The sandbox that an operation belongs to, as far as the operation has to know it. Embedded in
 * commands, file operations and logs. Called with the GIL held.
 */
#pragma once

#include "py/compat.h"

struct py_home {
    PyObject *sandbox;  /* the object that started the operation */
    PyObject *failures; /* a list: if the sandbox cannot be started, why is its first item */
    /* Borrowed: the exception that the sandbox was closed with, or else its refused operations
     * were ended with; NULL while neither was done. */
    PyObject *(*closed_by)(PyObject *sandbox);
    PyObject *purpose; /* what a helper command is a part of; NULL for everything else */
};

/* Copies `from`, with references of its own. */
void py_home_init(struct py_home *home, const struct py_home *from);
/* Drops the references. That can run any code, so the object that the home is embedded in must not
 * be tracked by the garbage collector any more. Harmless after zeros. */
void py_home_done(struct py_home *home);
int py_home_traverse(const struct py_home *home, visitproc visit, void *arg);

/* Borrowed: why the sandbox ended the operation, as given to close(), evict_refused() or fail().
 * NULL if neither holds: the operation ended in another way. */
PyObject *py_home_failure(const struct py_home *home, bool was_closed, bool was_not_open);
