/*
 * What can be waited for, and the blocking way of waiting for it (await.h has the other).
 *
 * The thread that brings the end about never takes the GIL: it notifies an observer, which for a
 * blocked thread releases a lock of PyThread's.
 */
#pragma once

#include "io/guest.h"
#include "io/waiters.h"
#include "py/compat.h"

struct py_state;

enum py_poll {
    PY_POLL_ERROR = -1, /* an exception is set */
    PY_POLL_PENDING,    /* nothing yet; `observer` was registered if one was given */
    PY_POLL_READY,      /* *out_value: a new reference, NULL at the end of an iteration */
};

struct py_waitable {
    /* Takes the value of `subject` if it is there. Else, with an observer, registers it and sets
     * *out_waiters to the list it is in. A notified observer means "poll again". */
    enum py_poll (*poll)(PyObject *subject, struct cws_observer *observer,
                         struct cws_waiters **out_waiters, PyObject **out_value);
    /* The task that awaits it is being cancelled. NULL: that is no concern of the subject. */
    void (*cancel)(PyObject *subject);
    /* The loop that brings it about; NULL when Python code does. */
    struct cws_loop *(*loop)(PyObject *subject);
    /* A blocked thread may run that loop meanwhile (io/guest.h). Not for what comes in many pieces:
     * they are better received by one thread while another works on them. */
    bool may_run_loop;
    /* One of many values, of which the next may be there already, without end: awaiting them lets
     * the event loop go on from time to time (pace.h). */
    bool is_stream;
};

/* Blocks until there is a value or `timeout_s` seconds have passed: then TimeoutError, which says
 * what `subject` is and does. Below 0: no limit. Signals are handled at once, so KeyboardInterrupt
 * ends it, taking nothing. NULL without an exception: the end of an iteration. */
PyObject *py_wait(struct py_state *state, PyObject *subject, const struct py_waitable *waitable,
                  double timeout_s);

/* When a wait of `timeout_s` seconds that begins now ends, in monotonic ns; below 0: never. */
uint64_t py_deadline_ns(double timeout_s);

/* Frees what py_wait keeps in the state for the next wait. */
void py_wait_free_spare(struct py_state *state);

/* Waits, detached from the interpreter, until another thread has released `lock`, which is held
 * by whoever calls. 1: released; 0: the deadline has passed; -1: a signal handler raised. */
int py_park(PyThread_type_lock lock, uint64_t deadline_ns);

/* As py_park, for what the guest's loop brings about, which the thread may run meanwhile. Whoever
 * notifies the guest releases the lock after that. */
int py_park_guest(PyThread_type_lock lock, struct cws_guest *guest, bool may_run_loop,
                  uint64_t deadline_ns);

/* A new lock, held already. NULL with MemoryError. */
PyThread_type_lock py_park_lock_new(void);
