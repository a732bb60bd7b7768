/*
 * The way from the I/O thread into one asyncio event loop: a mailbox whose eventfds the loop
 * watches as a reader.
 *
 * Made at the first await in a loop, kept as long as the loop is open and alive. The loop holds the
 * bridge (through its reader's callback), the bridge holds the loop weakly.
 */
#pragma once

#include "io/mailbox.h"
#include "py/state.h"

/*
 * An awaiter's registration, part of its memory. Once posted it lies in the mailbox, then in the
 * bridge's queue, until the loop, or the end of the bridge, takes it out; the memory stays so long.
 */
struct py_letter {
    struct cws_letter letter;
    struct cws_waiters *waiters; /* where it is registered */
    bool posted;                 /* written under the lock of `waiters`; until it is taken out */
    bool given_up;               /* the awaiter waits no more */
    bool outlives;               /* the awaiter is gone but for the memory */
};

struct py_bridge {
    PyObject_HEAD
    struct py_state *state;
    struct cws_mailbox *mailbox;
    PyObject *loop_ref; /* weak reference to the event loop */
    unsigned generation;
    /* Letters that were taken and whose awaiters are not woken yet, oldest first. */
    struct cws_letter *first;
    struct cws_letter *last;
    size_t count;
    int fd;                  /* which eventfd is in use */
    bool is_stepping;        /* tasks are woken inside of the callback of a reader */
    bool is_nested;          /* a loop has run inside of such a task's step once */
    bool is_scheduled;       /* the loop will call deliver() */
    struct cws_loop *relied; /* the I/O thread's loop */
    size_t relying;          /* awaiters that wait for what it brings about */
};

extern PyType_Spec py_bridge_spec;

/* A new reference to the bridge of the running event loop. NULL with an exception set,
 * RuntimeError outside of one. */
struct py_bridge *py_bridge_of_running_loop(struct py_state *state);

/* A new reference to its event loop; NULL, without an exception, when that is gone. */
PyObject *py_bridge_loop(const struct py_bridge *bridge);

/* Lets go of the bridges of closed loops. 0, or -1 with an exception set. */
int py_bridge_sweep(struct py_state *state);

/* One awaiter more, and one less, waits for what `loop` brings about; there is one such loop in a
 * process. The loop hears of the first and the last. */
void py_bridge_rely_begin(struct py_bridge *bridge, struct cws_loop *loop);
void py_bridge_rely_end(struct py_bridge *bridge);

/* Prepares a letter that is not posted to be registered, and to wake its awaiter through
 * `bridge`. */
void py_letter_init(struct py_letter *letter, struct py_bridge *bridge);

/* The awaiter does not wait any more: no wake-up comes after this. */
void py_letter_give_up(struct py_letter *letter);
