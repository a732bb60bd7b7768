/*
 * The way from the I/O thread into one asyncio event loop: a mailbox whose eventfd the loop watches
 * as a reader.
 *
 * Made at the first await in a loop, kept as long as the loop is open and alive. The loop holds the
 * bridge (through its reader's callback), the bridge holds the loop weakly.
 */
#pragma once

#include "io/mailbox.h"
#include "py/state.h"

struct py_awaiter;

/*
 * An awaiter's registration. Memory of its own, as it may outlive the awaiter: once posted it lies
 * in the mailbox until the loop, or the end of the bridge, takes it out. Until posted it belongs to
 * the awaiter.
 */
struct py_letter {
    struct cws_letter letter;
    struct cws_waiters *waiters; /* where it is registered; valid while `awaiter` is */
    struct py_awaiter *awaiter;  /* NULL: given up */
    bool posted;                 /* written under the lock of `waiters` */
};

struct py_bridge {
    PyObject_HEAD
    struct py_state *state;
    struct cws_mailbox *mailbox;
    PyObject *loop_ref; /* weak reference to the event loop */
    unsigned generation;
};

extern PyType_Spec py_bridge_spec;

/* A new reference to the bridge of the running event loop. NULL with an exception set,
 * RuntimeError outside of one. */
struct py_bridge *py_bridge_of_running_loop(struct py_state *state, PyObject **out_loop);

/* Lets go of the bridges of closed loops. 0, or -1 with an exception set. */
int py_bridge_sweep(struct py_state *state);

/* A letter for `awaiter`; NULL with MemoryError. */
struct py_letter *py_letter_new(struct py_bridge *bridge, struct py_awaiter *awaiter);

/* The awaiter does not wait any more: no wake-up comes after this. */
void py_letter_give_up(struct py_letter *letter);
