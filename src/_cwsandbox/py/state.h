/*
 * What one interpreter's copy of the module holds. Memory of its own, counted: when the garbage
 * collector takes a cycle through the module apart, objects may be freed after the module is.
 * Everything here is guarded by the GIL.
 */
#pragma once

#include "io/loop.h"
#include "py/compat.h"

/* Kinds of operations whose results Python code makes (kind.h). */
enum py_kind { PY_KIND_EXEC, PY_KIND_WRITE, PY_KINDS };

/* What makes them; NULL: not configured, or the kind has no such. */
struct py_makers {
    PyObject *value;
    PyObject *error;
};

struct py_state {
    Py_ssize_t refs; /* the module's and each object's */

    PyTypeObject *operation_type;
    PyTypeObject *promise_type;
    PyTypeObject *process_type;
    PyTypeObject *output_type;
    PyTypeObject *reader_type;
    PyTypeObject *writer_type;
    PyTypeObject *channel_type;
    PyTypeObject *sandbox_type;
    PyTypeObject *awaiter_type;
    PyTypeObject *bridge_type;
    PyObject *rpc_error;

    struct py_makers makers[PY_KINDS]; /* configure() */

    /* Taken from the standard library at first use (importing asyncio is slow). */
    PyObject *future_class;         /* concurrent.futures.Future */
    PyObject *cancelled_error;      /* concurrent.futures.CancelledError: for callers that block */
    PyObject *task_cancelled_error; /* asyncio.CancelledError: for those that await */
    PyObject *get_running_loop;     /* asyncio.get_running_loop */

    /* Names of methods that are called often, made at first use. */
    PyObject *name_run;       /* of a context */
    PyObject *name_get_debug; /* of an event loop */

    struct cws_list bridges; /* all there are; each is held by its event loop */

    void *spare_waiter;    /* wait.c's */
    struct cws_loop *loop; /* the I/O thread's, once used here; see py_state_loop */
    bool stopped; /* shutdown() was called: no operation of the I/O thread will end any more */

    Py_ssize_t live_operations;
    Py_ssize_t live_bridges;
};

/* The I/O thread's loop, started at first use. NULL with RuntimeError after shutdown() or when
 * the thread cannot start. */
struct cws_loop *py_state_loop(struct py_state *state);

/* A state with nothing in it, with one reference for the caller. NULL with MemoryError. */
struct py_state *py_state_new(void);
struct py_state *py_state_ref(struct py_state *state);
void py_state_unref(struct py_state *state); /* NULL is allowed */

/* What the module's own memory holds is the pointer. Borrowed. */
struct py_state *py_state_of_module(PyObject *module);

/* "<Name ...>", with the name of the object's type and what the format and its arguments give. */
PyObject *py_repr(PyObject *self, const char *format, ...);

/* Py_tp_alloc of the types whose objects are made by this module only, whatever somebody has put in
 * the place of their __new__: always NULL with TypeError. */
PyObject *py_refuse_alloc(PyTypeObject *type, Py_ssize_t count);

/* The state behind `type`, also for classes derived from ours in Python. NULL with an exception
 * set. */
struct py_state *py_state_of_type(PyTypeObject *type);

/* 0, or -1 with RuntimeError when an object made in `generation` belongs to a process we were
 * forked from. */
int py_state_check_fork(unsigned generation, const char *what);

/* Borrowed attribute `name` of `module`, imported once and kept in *slot. NULL with an exception
 * set. */
PyObject *py_state_import(PyObject **slot, const char *module, const char *name);

/* Borrowed: `text` as a str, made once and kept in *slot. NULL with MemoryError. */
PyObject *py_state_name(PyObject **slot, const char *text);

/* Calls concurrent.futures.CancelledError(): the exception is set. Always returns NULL. */
PyObject *py_state_raise_cancelled(struct py_state *state);
PyObject *py_state_raise_task_cancelled(struct py_state *state);
