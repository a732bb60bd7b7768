/*
 * What can be waited for, and how a thread blocks until it comes (for tasks see await.h).
 *
 * The thread that completes the awaited thing never takes the GIL. It notifies an observer; for a
 * blocked thread that releases a PyThread lock.
 */
#pragma once

#include "io/guest.h"
#include "io/waiters.h"
#include "py/compat.h"

struct py_state;

enum py_poll {
    PY_POLL_ERROR = -1, /* an exception is set */
    PY_POLL_PENDING,    /* nothing yet; `observer` has been registered if one was given */
    PY_POLL_READY,      /* *out_value: a new reference, NULL at the end of an iteration */
};

struct py_waitable {
    /* Takes the value of `subject` if it is ready. Otherwise registers `observer`, if one is given,
     * and sets *out_waiters to the list that it is in. An observer that is notified means "poll
     * again". */
    enum py_poll (*poll)(PyObject *subject, struct cws_observer *observer,
                         struct cws_waiters **out_waiters, PyObject **out_value);
    /* The task that awaits the subject is being cancelled. NULL: the subject need not know. */
    void (*cancel)(PyObject *subject);
    /* The loop that completes the subject; NULL if Python code does. */
    struct cws_loop *(*loop)(PyObject *subject);
    /* A blocked thread may run that loop meanwhile (io/guest.h). False for values that come in many
     * pieces: one thread should receive them while another works on them. */
    bool may_run_loop;
    /* There may be many values, with the next one always ready. Awaiting them lets the event loop
     * run from time to time (pace.h). */
    bool is_stream;
};

/* Blocks until there is a value: a new reference. NULL without an exception means the end of an
 * iteration. TimeoutError, which describes `subject`, if `timeout_s` seconds have passed first;
 * negative: no limit. Signals are handled at once, so KeyboardInterrupt ends the wait, and nothing
 * is taken then. */
PyObject *py_wait(struct py_state *state, PyObject *subject, const struct py_waitable *waitable,
                  double timeout_s);

/* The end, in monotonic ns, of a wait of `timeout_s` seconds that begins now. Negative:
 * CWS_NO_DEADLINE. */
uint64_t py_deadline_ns(double timeout_s);

/* Frees what py_wait has kept in the state for reuse. */
void py_wait_free_spare(struct py_state *state);

/* Waits, without the GIL, until another thread releases `lock`, which the caller holds. 1:
 * released; 0: the deadline has passed; -1: a signal handler raised an exception. */
int py_park(PyThread_type_lock lock, uint64_t deadline_ns);

/* As py_park, for something that the guest's loop completes. The thread may run that loop
 * meanwhile. Whoever notifies the guest must release the lock after that. */
int py_park_guest(PyThread_type_lock lock, struct cws_guest *guest, bool may_run_loop,
                  uint64_t deadline_ns);

/* A new lock, already held. NULL with MemoryError. */
PyThread_type_lock py_park_lock_new(void);
