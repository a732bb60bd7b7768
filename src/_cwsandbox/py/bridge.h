/*
 * The way from the I/O thread into one asyncio event loop: a mailbox whose eventfds the loop
 * watches as a reader.
 *
 * Made at the first await in a loop. The loop holds the bridge (through its reader's callback)
 * until it is closed; the bridge holds the loop weakly, and strongly everyone who waits in it. So a
 * task that nobody else refers to is kept by what it waits for, as one that waits for a timer is.
 */
#pragma once

#include "io/mailbox.h"
#include "py/state.h"

/*
 * The registration of one who waits, part of the memory of that object. Once posted it lies in the
 * mailbox, then in the bridge's queue, until the loop, or the end of the bridge, takes it out.
 *
 * From py_letter_hold on the bridge has a reference to the owner: until the owner was woken or has
 * given up, and if it gave up a posted letter, until that is taken out.
 */
struct py_letter {
    struct cws_letter letter;
    struct cws_waiters *waiters; /* where it is registered */
    struct cws_list held;        /* in the bridge's list of those it holds */
    struct py_bridge *bridge;    /* borrowed: the owner holds it while it waits */
    PyObject *owner;             /* who waits */
    /* Attached, on the loop's thread: what the owner waits for has changed; the letter is used up.
     * Who waits for the owner is called at once if `directly`, else from the loop. -1 with
     * KeyboardInterrupt or SystemExit, which ends the loop; else 0. */
    int (*wake)(PyObject *owner, bool directly);
    bool posted;   /* written under the lock of `waiters`; until it is taken out */
    bool given_up; /* the owner waits no more */
};

struct py_bridge {
    PyObject_HEAD
    struct py_state *state;
    struct cws_list node; /* in the state's list */
    struct cws_mailbox *mailbox;
    PyObject *loop_ref;   /* weak reference to the event loop */
    const void *loop_id;  /* its address, to tell others at a glance */
    struct cws_list held; /* letters whose owners it has references to */
    unsigned generation;
    /* Letters that were taken and whose owners are not woken yet, oldest first. */
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

/* One awaiter more, and one less, waits for what `loop` brings about; there is one such loop in a
 * process. The loop hears of the first and the last. */
void py_bridge_rely_begin(struct py_bridge *bridge, struct cws_loop *loop);
void py_bridge_rely_end(struct py_bridge *bridge);

/* Prepares a letter that is not posted to be registered, and to wake `owner` through `bridge`. */
void py_letter_init(struct py_letter *letter, struct py_bridge *bridge, PyObject *owner,
                    int (*wake)(PyObject *owner, bool directly));

/* The letter was registered: the bridge holds its owner. Before the GIL is released. */
void py_letter_hold(struct py_letter *letter);

/* The owner, which the caller holds, does not wait any more: no wake-up comes after this. */
void py_letter_give_up(struct py_letter *letter);
