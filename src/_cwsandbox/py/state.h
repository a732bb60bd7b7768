/*
 * The state of one interpreter's copy of the module. It is allocated separately and
 * reference-counted, because objects may outlive the module when the garbage collector breaks a
 * cycle through it. Everything here is guarded by the GIL.
 */
#pragma once

#include <stdatomic.h>

#include "io/loop.h"
#include "py/compat.h"

/* Kinds of operations whose results are made by Python code (kind.h). */
enum py_kind {
    PY_KIND_EXEC,
    PY_KIND_TERMINAL,
    PY_KIND_HELPER,
    PY_KIND_WRITE,
    PY_KIND_FILE,
    PY_KIND_LOG,
    PY_KINDS
};

/* The functions that make them; NULL: not configured, or the kind has no such maker. */
struct py_makers {
    PyObject *value;
    PyObject *error;
};

struct py_state {
    Py_ssize_t refs; /* one for the module and one for each object */

    PyTypeObject *operation_type;
    PyTypeObject *promise_type;
    PyTypeObject *process_type;
    PyTypeObject *terminal_type;
    PyTypeObject *log_type;
    PyTypeObject *output_type;
    PyTypeObject *reader_type;
    PyTypeObject *writer_type;
    PyTypeObject *file_type;
    PyTypeObject *unfinished_type;
    PyTypeObject *ended_type;
    PyTypeObject *channel_type;
    PyTypeObject *sandbox_type;
    PyTypeObject *refusals_type;
    PyTypeObject *awaiter_type;
    PyTypeObject *bridge_type;
    PyObject *rpc_error;

    struct py_makers makers[PY_KINDS]; /* configure() */

    /* Taken from the standard library at first use (importing asyncio is slow). */
    PyObject *future_class;         /* concurrent.futures.Future */
    PyObject *cancelled_error;      /* concurrent.futures.CancelledError: for threads that block */
    PyObject *task_cancelled_error; /* asyncio.CancelledError: for tasks that await */
    PyObject *get_running_loop;     /* asyncio.get_running_loop */

    /* Names of methods that are called often, created at first use. */
    PyObject *name_run;       /* a context's method */
    PyObject *name_get_debug; /* an event loop's method */

    struct cws_list bridges; /* all bridges; each is held by its event loop */

    PyObject *trace_begin, *trace_ended; /* trace(); NULL: nobody traces */
    struct cws_queue *traces;            /* used by trace.c; NULL before the first */
    atomic_size_t traces_taken;          /* from `traces`, and not ended yet */

    struct cws_queue *unfinished_files; /* used by file.c; NULL before the first */
    struct cws_queue *refusals;         /* used by sandbox_direct.c; likewise */

    void *spare_waiter;    /* used by wait.c */
    struct cws_loop *loop; /* the I/O thread's loop, once it was used here; see py_state_loop */
    bool stopped; /* shutdown() was called: the I/O thread will complete no more operations */

    Py_ssize_t live_operations;
    Py_ssize_t live_bridges;
};

/* Borrowed: the I/O thread's loop, started at first use. NULL with RuntimeError after shutdown(),
 * or if the thread cannot be started. */
struct cws_loop *py_state_loop(struct py_state *state);

/* An empty state; the caller gets one reference. NULL with MemoryError. */
struct py_state *py_state_new(void);
struct py_state *py_state_ref(struct py_state *state);
void py_state_unref(struct py_state *state); /* NULL is allowed */

/* Borrowed: the module's own memory holds only a pointer to the state. */
struct py_state *py_state_of_module(PyObject *module);

/* The text "<Name ...>": the name of the object's type, then the formatted arguments. NULL with an
 * exception set. */
PyObject *py_repr(PyObject *self, const char *format, ...);

/* Py_tp_alloc for the types whose objects only this module makes, even if somebody has replaced
 * their __new__. Always NULL with TypeError. */
PyObject *py_refuse_alloc(PyTypeObject *type, Py_ssize_t count);

/* Borrowed: the state behind `type`, which may be a Python class derived from one of ours. NULL
 * with an exception set. */
struct py_state *py_state_of_type(PyTypeObject *type);

/* 0, or -1 with RuntimeError if an object made in `generation` belongs to a process that this one
 * was forked from. `what` names the object in the message. */
int py_state_check_fork(unsigned generation, const char *what);

/* Borrowed: attribute `name` of `module`, imported once and kept in *slot. NULL with an exception
 * set. */
PyObject *py_state_import(PyObject **slot, const char *module, const char *name);

/* Borrowed: `text` as a str, created once and kept in *slot. NULL with MemoryError. */
PyObject *py_state_name(PyObject **slot, const char *text);

/* Raise concurrent.futures.CancelledError and asyncio.CancelledError. Always return NULL. */
PyObject *py_state_raise_cancelled(struct py_state *state);
PyObject *py_state_raise_task_cancelled(struct py_state *state);
