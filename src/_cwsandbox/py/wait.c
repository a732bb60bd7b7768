#include "py/wait.h"

#include "base/clock.h"
#include "py/state.h"

/* One sleep's length at most: below what PyThread can count in microseconds, with the rest slept
 * in further rounds. */
#define MAX_SLEEP_NS (3600 * CWS_NS_PER_S)

/* Not on the stack: a daemon thread that sleeps when the program ends never comes back to take its
 * registration off the list. */
struct waiter {
    struct cws_observer observer;
    struct cws_guest guest;
    PyThread_type_lock lock;
};

static void wake(struct cws_observer *observer)
{
    struct waiter *waiter = cws_container_of(observer, struct waiter, observer);
    cws_guest_notify(&waiter->guest);
    PyThread_release_lock(waiter->lock);
}

/* The one that was used last, or a new one. */
static struct waiter *waiter_take(struct py_state *state, struct cws_loop *loop)
{
    struct waiter *waiter = state->spare_waiter;
    state->spare_waiter = NULL;
    if (!waiter) {
        waiter = PyMem_Malloc(sizeof(*waiter));
        if (!waiter)
            return (struct waiter *)PyErr_NoMemory();
        waiter->observer.notify = wake;
        waiter->lock = py_park_lock_new();
        if (!waiter->lock) {
            PyMem_Free(waiter);
            return NULL;
        }
    }
    cws_guest_init(&waiter->guest, loop);
    return waiter;
}

void py_wait_free_spare(struct py_state *state)
{
    struct waiter *waiter = state->spare_waiter;
    if (!waiter)
        return;
    state->spare_waiter = NULL;
    PyThread_release_lock(waiter->lock);
    PyThread_free_lock(waiter->lock);
    PyMem_Free(waiter);
}

/* Nobody can wake it any more. */
static void waiter_give_back(struct py_state *state, struct waiter *waiter)
{
    py_wait_free_spare(state);                        /* another thread's, if it came first */
    PyThread_acquire_lock(waiter->lock, NOWAIT_LOCK); /* released if it was woken too late */
    state->spare_waiter = waiter;
}

PyThread_type_lock py_park_lock_new(void)
{
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock)
        PyThread_acquire_lock(lock, NOWAIT_LOCK);
    else
        PyErr_NoMemory();
    return lock;
}

static PY_TIMEOUT_T sleep_us(uint64_t deadline_ns, uint64_t most_ns)
{
    uint64_t now = cws_clock_now_ns();
    if (deadline_ns <= now)
        return 0;
    uint64_t left = deadline_ns - now < most_ns ? deadline_ns - now : most_ns;
    return (PY_TIMEOUT_T)((left + 999) / 1000);
}

int py_park(PyThread_type_lock lock, uint64_t deadline_ns)
{
    for (bool first = true;; first = false) {
        PyLockStatus how;
        PY_TIMEOUT_T left_us = sleep_us(deadline_ns, first ? CWS_SETTLE_NS : MAX_SLEEP_NS);
        if (PyErr_CheckSignals() < 0)
            return -1;
        Py_BEGIN_ALLOW_THREADS
        how = PyThread_acquire_lock_timed(lock, left_us, 1);
        Py_END_ALLOW_THREADS
        if (how == PY_LOCK_ACQUIRED)
            return 1;
        /* A signal that came just as the time ran out must not be lost. */
        if (how == PY_LOCK_FAILURE && left_us == 0)
            return PyErr_CheckSignals() < 0 ? -1 : 0;
    }
}

/* As py_park; 2: the loop cannot be run here. */
static int run_loop(PyThread_type_lock lock, struct cws_guest *guest, uint64_t deadline_ns)
{
    for (;;) {
        enum cws_guest_run how;
        if (PyErr_CheckSignals() < 0)
            return -1;
        Py_BEGIN_ALLOW_THREADS
        how = cws_guest_run(guest, deadline_ns);
        if (how == CWS_GUEST_DONE)
            PyThread_acquire_lock(lock, WAIT_LOCK); /* no longer than the notice takes to return */
        Py_END_ALLOW_THREADS
        if (how == CWS_GUEST_BUSY)
            return 2;
        if (how == CWS_GUEST_DONE)
            return 1;
        if (how == CWS_GUEST_TIMED_OUT)
            return PyErr_CheckSignals() < 0 ? -1 : 0;
    }
}

int py_park_guest(PyThread_type_lock lock, struct cws_guest *guest, bool may_run_loop,
                  uint64_t deadline_ns)
{
    int rc = may_run_loop ? run_loop(lock, guest, deadline_ns) : 2;
    if (rc == 2) {
        cws_guest_sleep(guest);
        rc = py_park(lock, deadline_ns);
    }
    return rc;
}

/* One round: registers, sleeps, takes the registration back. 1: poll again; 0: the deadline has
 * passed; -1: error; 2: *out_value holds. */
static int wait_once(PyObject *subject, const struct py_waitable *waitable, uint64_t deadline_ns,
                     struct waiter *waiter, PyObject **out_value)
{
    struct cws_waiters *waiters;
    switch (waitable->poll(subject, &waiter->observer, &waiters, out_value)) {
    case PY_POLL_READY:
        return 2;
    case PY_POLL_ERROR:
        return -1;
    case PY_POLL_PENDING:
        break;
    }
    int rc = py_park_guest(waiter->lock, &waiter->guest, waitable->may_run_loop, deadline_ns);
    /* A woken observer is off the list, and the thread that woke it may still hold the list's
     * lock. */
    if (rc != 1)
        cws_waiters_remove(waiters, &waiter->observer);
    cws_guest_rise(&waiter->guest);
    return rc;
}

uint64_t py_deadline_ns(double timeout_s)
{
    return timeout_s < 0 ? CWS_NO_DEADLINE : cws_clock_deadline_ns(timeout_s);
}

static void raise_timeout(PyObject *subject, double timeout_s)
{
    char *seconds = PyOS_double_to_string(timeout_s, 'g', 6, 0, NULL);
    if (!seconds)
        return;
    PyErr_Format(PyExc_TimeoutError, "not done within %s s: %R", seconds, subject);
    PyMem_Free(seconds);
}

PyObject *py_wait(struct py_state *state, PyObject *subject, const struct py_waitable *waitable,
                  double timeout_s)
{
    uint64_t deadline_ns = py_deadline_ns(timeout_s);
    PyObject *value = NULL;
    struct cws_waiters *waiters;
    struct cws_loop *loop;
    switch (waitable->poll(subject, NULL, &waiters, &value)) {
    case PY_POLL_READY:
        if (waitable->may_run_loop && (loop = waitable->loop(subject)))
            cws_loop_note_outcome(loop);
        return value;
    case PY_POLL_ERROR:
        return NULL;
    case PY_POLL_PENDING:
        break;
    }
    struct waiter *waiter = waiter_take(state, waitable->loop(subject));
    if (!waiter)
        return NULL;
    int rc;
    do
        rc = wait_once(subject, waitable, deadline_ns, waiter, &value);
    while (rc == 1);
    waiter_give_back(state, waiter);
    if (rc == 2)
        return value;
    if (rc == 0)
        raise_timeout(subject, timeout_s);
    return NULL;
}
