/* Shared by sandbox.c and sandbox_direct.c. Called with the GIL held. */
#pragma once

#include "py/sandbox.h"
#include "sandbox/sandbox.h"

struct py_sandbox {
    PyObject_HEAD
    struct py_state *state;
    struct cws_sandbox *core; /* made at first use, so that a handle not used yet survives fork() */
    unsigned generation;      /* of `core` */
    PyObject
        *failures; /* shared with the operations of now: fail() fills it and starts a new one */
    PyObject *closed_by;  /* close()'s exception: closed for good */
    PyObject *refused_by; /* evict_refused()'s */
    Py_ssize_t write_max; /* Python's: content up to this size is sent in one message */
    PyObject *id;         /* open()'s; NULL before */
    bool is_open;
    char wants_serving;   /* Python's: policy code wants to hear of operations */
    PyObject *only_way;   /* the channel of a strict set_direct(); NULL: none */
    uint64_t hold_ns;     /* from then on operations wait until it has opened the sandbox again */
    PyObject *on_refused; /* Python's: called when calls that were refused wait for another way */
};

/* sandbox.c: */
/* Borrowed, made if need be. NULL with an exception set. */
struct cws_sandbox *py_sandbox_core(struct py_sandbox *self);

/* sandbox_direct.c: */
/* For an operation that begins: as py_sandbox_core, and makes it wait if its only way is closed. */
struct cws_sandbox *py_sandbox_for_operation(struct py_sandbox *self);
PyObject *py_sandbox_set_direct(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
