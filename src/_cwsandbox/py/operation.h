/*
 * OperationRef: a one-shot result, by result() for threads and by await for event loops.
 *
 * Where the result comes from is the source's affair. Value or exception are made once, at the
 * first request after the end, and kept: everybody gets the same object. What goes wrong in making
 * them (no memory, a signal handler that raises) is no outcome: whoever asked is told, and the next
 * request makes them.
 */
#pragma once

#include "base/clock.h"
#include "io/future.h"
#include "py/state.h"
#include "py/wait.h"

struct py_operation;

struct py_source {
    /* Tells the end of `core`. */
    struct cws_future *(*future)(void *core);
    /* After the end: fills in `value` or `error`, or sets `cancelled`, from what the core says. 0,
     * or -1 with the exception for why that failed, nothing filled in and the core as it was: it is
     * called again. Not called when one was filled in before the end. */
    int (*take)(struct py_operation *op);
    /* Called while not done: ends it. False: it cannot be ended, or has come to an end on its
     * own. */
    bool (*cancel)(struct py_operation *op);
    /* Gives up the reference on `core`. */
    void (*release)(void *core);
    /* Only the I/O thread can complete it. */
    bool by_io_thread;
};

struct py_operation {
    PyObject_HEAD
    struct py_state *state;
    const struct py_source *source; /* NULL: __init__ was not called */
    void *core;                     /* C side of it, counted; what the source's functions work on */
    const void *detail;             /* the source's own: a constant */
    PyObject *attached;             /* the source's own: an object kept alive */
    PyObject *value;                /* once made */
    PyObject *error;                /* once made: an exception instance */
    PyThread_type_lock
        making;          /* held by the thread that is in source->take; NULL before the first */
    unsigned long maker; /* that thread, 0: none */
    PyObject *weakrefs;
    unsigned generation;
    bool cancelled; /* for good, whatever `core` says */
};

extern PyType_Spec py_operation_spec;

/* Slots of the types derived from OperationRef. They can be changed by Python code, as tests that
 * patch a method do: nothing here relies on what a type's methods are. */
PyObject *py_operation_alloc(PyTypeObject *type, struct py_state *state, allocfunc alloc);
int py_operation_traverse(PyObject *self, visitproc visit, void *arg);
int py_operation_clear(PyObject *self);
void py_operation_dealloc(PyObject *self);

/* Ties a fresh operation to its source. Takes over the reference on `core`. */
void py_operation_begin(struct py_operation *op, const struct py_source *source, void *core);

/* A new OperationRef of this source; takes over the reference on `core`, also on failure. */
struct py_operation *py_operation_new(struct py_state *state, const struct py_source *source,
                                      void *core);

/* 0, or -1 with RuntimeError: from before fork(), or without __init__. */
int py_operation_check(const struct py_operation *op);

/* As py_waitable.loop. */
struct cws_loop *py_operation_loop(PyObject *self);

/* Cancelled, or its result is there to be taken. */
bool py_operation_is_done(const struct py_operation *op);

/* PY_POLL_READY (with no value) once it is done; may register, as py_waitable.poll. */
enum py_poll py_operation_poll_done(struct py_operation *op, struct cws_observer *observer,
                                    struct cws_waiters **out_waiters);

/* As py_waitable.poll: the value, or the operation's exception; a cancelled one raises
 * concurrent.futures.CancelledError. */
enum py_poll py_operation_poll(PyObject *self, struct cws_observer *observer,
                               struct cws_waiters **out_waiters, PyObject **out_value);

/* Why the streams of an operation that is done have ended, where that is a failure: a new reference
 * to the operation's exception; else NULL. 0, or -1 with an exception set. */
typedef int py_failure_fn(struct py_operation *op, PyObject **out_failure);

/* Of one that is done and has failed: raises why. */
void py_operation_raise_failure(struct py_operation *op);

/* Of one that is done: makes value or error if that has not happened. 0, or -1 with an exception
 * that is not the operation's own. */
int py_operation_settle(struct py_operation *op);

/* As _cancel(). */
bool py_operation_cancel(struct py_operation *op);
