/* Shared by await.c (the iterator) and await_future.c (the future that it yields). With the GIL
 * held. */
#pragma once

#include "py/await.h"
#include "py/bridge.h"

enum py_awaiter_phase {
    PY_AWAITER_IDLE,      /* not started */
    PY_AWAITER_RUNNING,   /* polling its subject, which may run Python code */
    PY_AWAITER_PAUSED,    /* suspended for one iteration of the event loop */
    PY_AWAITER_WAITING,   /* the letter is registered or on its way */
    PY_AWAITER_WOKEN,     /* the letter has come */
    PY_AWAITER_CANCELLED, /* cancel() was called */
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

    /* For its role as a future, from WAITING on: */
    struct py_bridge *bridge; /* a reference, for the letter's mailbox */
    bool relies;              /* while WAITING: relies on the I/O thread */
    bool
        blocking; /* asyncio's _asyncio_future_blocking: yielded, and no task has taken it up yet */
    PyObject *callback; /* whom to wake, in `context`; NULL: nobody yet, or called already */
    PyObject *context;
    bool cancelled; /* by cancel(); `message` is its argument or NULL */
    PyObject *message;
};

/* Ends WAITING and moves on to `next`. No wake-up comes after this. `next` is WOKEN if the letter
 * has just arrived. */
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
