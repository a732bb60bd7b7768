/*
 * The way from the I/O thread into one asyncio event loop: a mailbox whose eventfds the loop
 * watches as readers. Everything here is called with the GIL held, on the event loop's thread.
 *
 * A bridge is made at the first await in a loop. The loop holds the bridge (through its reader's
 * callback) until it is closed. The bridge has a weak reference to the loop, and strong ones to
 * everyone who waits in it. So a task that nobody else refers to is kept alive by what it waits
 * for, like a task that waits for a timer.
 */
#pragma once

#include "io/mailbox.h"
#include "py/state.h"

/*
 * The registration of one waiter, embedded in that object. Once posted it lies in the mailbox, then
 * in the bridge's queue, until the loop, or the end of the bridge, takes it out.
 *
 * From py_letter_hold on, the bridge has a reference to the owner. It drops that when the owner was
 * woken or has given up. If the owner gives up after the letter was posted, the bridge drops it
 * when the letter is taken out.
 */
struct py_letter {
    struct cws_letter letter;
    struct cws_waiters *waiters; /* where it is registered */
    struct cws_list held;        /* in the bridge's list `held` */
    struct py_bridge *bridge;    /* borrowed; the owner holds a reference while it waits */
    PyObject *owner;             /* who waits */
    /* What the owner waits for has changed; the letter is used up. Wakes the task that waits for
     * the owner: at once if `directly`, else through the loop. Returns 0, or -1 with
     * KeyboardInterrupt or SystemExit, which ends the loop. */
    int (*wake)(PyObject *owner, bool directly);
    bool posted;   /* from the post until it is taken out; written under the lock of `waiters` */
    bool given_up; /* the owner no longer waits */
};

struct py_bridge {
    PyObject_HEAD
    struct py_state *state;
    struct cws_list node; /* in the state's list */
    struct cws_mailbox *mailbox;
    PyObject *loop_ref;   /* weak reference to the event loop */
    const void *loop_id;  /* its address, for a quick comparison */
    struct cws_list held; /* letters whose owners it has references to */
    unsigned generation;
    /* Letters that were taken from the mailbox and whose owners are not woken yet, oldest first. */
    struct cws_letter *first;
    struct cws_letter *last;
    size_t count;
    int fd;                  /* which eventfd is in use */
    bool is_stepping;        /* a reader's callback is waking tasks */
    bool is_nested;          /* a loop has once run inside such a task's step */
    bool is_scheduled;       /* the loop will call deliver() */
    struct cws_loop *relied; /* the I/O thread's loop */
    size_t relying;          /* how many awaiters wait for what it brings about */
};

extern PyType_Spec py_bridge_spec;

/* A new reference to the bridge of the running event loop. NULL with an exception set: RuntimeError
 * if no loop is running. */
struct py_bridge *py_bridge_of_running_loop(struct py_state *state);

/* A new reference to the bridge's event loop; NULL, without an exception, if that is gone. */
PyObject *py_bridge_loop(const struct py_bridge *bridge);

/* One more, or one fewer, awaiter waits for what `loop` brings about. There is only one such loop
 * in a process. It is told of the first and of the last awaiter (cws_loop_rely_begin). */
void py_bridge_rely_begin(struct py_bridge *bridge, struct cws_loop *loop);
void py_bridge_rely_end(struct py_bridge *bridge);

/* Prepares a letter, which must not be posted, to be registered and to wake `owner` through
 * `bridge`. */
void py_letter_init(struct py_letter *letter, struct py_bridge *bridge, PyObject *owner,
                    int (*wake)(PyObject *owner, bool directly));

/* After the letter was registered, before the GIL is released: makes the bridge hold the owner. */
void py_letter_hold(struct py_letter *letter);

/* The owner no longer waits: no wake-up comes after this. The caller must hold a reference to
 * it. */
void py_letter_give_up(struct py_letter *letter);
