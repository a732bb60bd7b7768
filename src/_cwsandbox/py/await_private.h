/* What await.c (the iterator) and await_future.c (the future that it yields) share. */
#pragma once

#include "py/await.h"
#include "py/bridge.h"

enum py_awaiter_phase {
    PY_AWAITER_IDLE,      /* not begun */
    PY_AWAITER_RUNNING,   /* polls its subject, which may run Python code */
    PY_AWAITER_PAUSED,    /* suspended for one turn of the loop before it goes on */
    PY_AWAITER_WAITING,   /* the letter is registered or on its way */
    PY_AWAITER_WOKEN,     /* the letter has come */
    PY_AWAITER_CANCELLED, /* by cancel() */
    PY_AWAITER_FINISHED,
};

struct py_awaiter {
    PyObject_HEAD
    struct py_state *state;
    const struct py_waitable *waitable;
    PyObject *subject;
    unsigned generation;
    enum py_awaiter_phase phase;
    struct py_letter letter;

    /* As a future, from WAITING on: */
    struct py_bridge *bridge; /* held, for the letter's mailbox */
    bool relies;              /* while WAITING, on the I/O thread */
    bool blocking;            /* yielded, and no task has taken notice yet */
    PyObject *callback;       /* with its context: whom to wake; NULL: nobody yet, or called */
    PyObject *context;
    bool cancelled; /* by cancel(), whose message this is; NULL: none */
    PyObject *message;
};

/* Of one that is WAITING: no wake-up comes after this; WOKEN: it has just come. */
void py_awaiter_stop_waiting(struct py_awaiter *awaiter, enum py_awaiter_phase next);

/* As py_letter.wake. */
int py_awaiter_wake(PyObject *self, bool directly);

/* Raises asyncio's CancelledError with the message of cancel(). */
void py_awaiter_raise_cancelled(struct py_awaiter *awaiter);

/* ---- as a future ---------------------------------------------------------------------------- */

PyObject *py_awaiter_get_blocking(PyObject *self, void *closure);
int py_awaiter_set_blocking(PyObject *self, PyObject *value, void *closure);
PyObject *py_awaiter_get_loop(PyObject *self, PyObject *ignored);
PyObject *py_awaiter_add_done_callback(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames);
PyObject *py_awaiter_remove_done_callback(PyObject *self, PyObject *callback);
PyObject *py_awaiter_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *py_awaiter_done(PyObject *self, PyObject *ignored);
PyObject *py_awaiter_cancelled(PyObject *self, PyObject *ignored);
PyObject *py_awaiter_result(PyObject *self, PyObject *ignored);
