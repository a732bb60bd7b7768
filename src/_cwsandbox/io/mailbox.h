/*
 * The way from any thread into one of the user's event loops: a queue and two eventfds. The eventfd
 * in use is readable while the queue is not empty. Many puts cause one wake-up; the loop drains the
 * queue under the locks it already holds.
 *
 * There are two eventfds because the loop may be re-entered from inside its callback for one of
 * them; the other one is used meanwhile. The loop says which is in use, and clears them.
 */
#pragma once

#include "base/stack.h"
#include "base/status.h"
#include "io/waiters.h"

struct cws_mailbox;

/* Embedded in the object that waits. Its observer can be registered with a future or a stream
 * directly. */
struct cws_letter {
    struct cws_observer observer; /* cws_letter_init sets its notify */
    struct cws_mailbox *mailbox;
    struct cws_stack_node node;
};

/* Any thread. */
enum cws_status cws_mailbox_new(struct cws_mailbox **out_mailbox,
                                struct cws_error *err) CWS_MUST_CHECK;
void cws_mailbox_free(struct cws_mailbox *mailbox); /* NULL is allowed */

enum { CWS_MAILBOX_FDS = 2 };

/* The eventfds to watch for readability; 0 is in use at first. */
int cws_mailbox_fd(const struct cws_mailbox *mailbox, int which);

/* Prepares a letter, whose observer puts it into `mailbox` when notified. The mailbox
 * must live for as long as that can happen. */
void cws_letter_init(struct cws_letter *letter, struct cws_mailbox *mailbox);

/* Any thread, lock-free: puts the letter in. It must stay valid until it has been taken out. */
void cws_mailbox_put(struct cws_mailbox *mailbox, struct cws_letter *letter);

/* The letter after this one among those that were taken; NULL if it is the last. */
static inline struct cws_letter *cws_letter_next(const struct cws_letter *letter)
{
    struct cws_stack_node *next = letter->node.next;
    return next ? cws_container_of(next, struct cws_letter, node) : NULL;
}

/* The event loop's thread: takes all letters, oldest first (see cws_letter_next), and makes
 * `next_fd` the eventfd in use. The put of one of these letters may still be about to write the
 * previous eventfd; it holds the lock of its letter's waiters until it has. */
struct cws_letter *cws_mailbox_take(struct cws_mailbox *mailbox, int next_fd);

/* The event loop's thread: makes eventfd `which` unreadable, unless it is in use and there are
 * letters. */
void cws_mailbox_quiet(struct cws_mailbox *mailbox, int which);

/* Any thread: makes the eventfd in use readable until cws_mailbox_quiet. */
void cws_mailbox_wake(struct cws_mailbox *mailbox);
