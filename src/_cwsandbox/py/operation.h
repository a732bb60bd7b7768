/*
 * OperationRef: a one-shot result, which threads get by result() and event loops by await. All
 * functions are called with the GIL held.
 *
 * A source knows where the result comes from. The value or exception is made once, by the first
 * request after the end, and kept: everybody gets the same object. A failure to make it (no memory,
 * a signal handler that raises) is not the operation's outcome. It is raised to whoever asked, and
 * the next request tries again.
 */
#pragma once

#include "base/clock.h"
#include "io/future.h"
#include "py/state.h"
#include "py/wait.h"

struct py_operation;

struct py_source {
    /* The future that is done when `core` has ended. */
    struct cws_future *(*future)(void *core);
    /* After the end: sets `value`, `error` or `cancelled` from the core's outcome and returns 0. If
     * that fails it returns -1 with an exception, sets nothing and leaves the core unchanged; it
     * will be called again. Not called if one of them was set before the end. */
    int (*take)(struct py_operation *op);
    /* Called while the operation is not done: ends it. False: it cannot be ended, or it has ended
     * by itself. */
    bool (*cancel)(struct py_operation *op);
    /* Drops the reference to `core`. */
    void (*release)(void *core);
    /* Only the I/O thread can complete it. */
    bool by_io_thread;
};

struct py_operation {
    PyObject_HEAD
    struct py_state *state;
    const struct py_source *source; /* NULL: __init__ was not called */
    void *core;         /* the C side, reference-counted; what the source's functions work on */
    const void *detail; /* for the source: a constant */
    PyObject *attached; /* for the source: an object to keep alive */
    PyObject *value;    /* once made */
    PyObject *error;    /* once made: an exception instance */
    PyThread_type_lock
        making;          /* held by the thread that is in source->take; NULL before the first one */
    unsigned long maker; /* that thread; 0: none */
    PyObject *weakrefs;
    unsigned generation;
    bool cancelled; /* final, whatever `core` says */
};

extern PyType_Spec py_operation_spec;

/* Slots for the types derived from OperationRef. Python code may change those types, for example
 * tests that patch a method. So nothing here relies on a type's methods. */
PyObject *py_operation_alloc(PyTypeObject *type, struct py_state *state, allocfunc alloc);
int py_operation_traverse(PyObject *self, visitproc visit, void *arg);
int py_operation_clear(PyObject *self);
void py_operation_dealloc(PyObject *self);

/* Ties a new operation to its source. Takes over the reference to `core`. */
void py_operation_begin(struct py_operation *op, const struct py_source *source, void *core);

/* A new OperationRef with this source. Takes over the reference to `core`, also on failure. NULL
 * with an exception set. */
struct py_operation *py_operation_new(struct py_state *state, const struct py_source *source,
                                      void *core);

/* 0, or -1 with RuntimeError if it was made before fork(), or if __init__ was not called. */
int py_operation_check(const struct py_operation *op);

/* As py_waitable.loop. */
struct cws_loop *py_operation_loop(PyObject *self);

/* Whether it is cancelled, or its result is ready to be taken. */
bool py_operation_is_done(const struct py_operation *op);

/* As py_waitable.poll, but PY_POLL_READY has no value and means that the operation is done. */
enum py_poll py_operation_poll_done(struct py_operation *op, struct cws_observer *observer,
                                    struct cws_waiters **out_waiters);

/* As py_waitable.poll: the value, or the operation's exception; a cancelled one raises
 * concurrent.futures.CancelledError. */
enum py_poll py_operation_poll(PyObject *self, struct cws_observer *observer,
                               struct cws_waiters **out_waiters, PyObject **out_value);

/* Why the streams of a done operation have ended. *out_failure is a new reference to the
 * operation's exception, or NULL if it did not fail. Returns 0, or -1 with an exception set. */
typedef int py_failure_fn(struct py_operation *op, PyObject **out_failure);

/* For an operation that is done and has failed: raises its exception. */
void py_operation_raise_failure(struct py_operation *op);

/* For an operation that is done: makes its value or error, unless that has happened already. 0, or
 * -1 with an exception that is not the operation's own. */
int py_operation_settle(struct py_operation *op);

/* The method _cancel(): true if the operation ends as cancelled. */
bool py_operation_cancel(struct py_operation *op);
