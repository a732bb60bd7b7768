/*
 * The way from any thread into one event loop of the user's: a queue with two eventfds, of which
 * one becomes readable when the queue is not empty. Many puts, one wake-up; the loop drains with
 * the locks it already holds.
 *
 * Two, since the loop may be entered again from what its callback for one of them does: meanwhile
 * the other one is in use. The loop says which it is, and clears them.
 */
#pragma once

#include "base/status.h"
#include "io/waiters.h"

struct cws_mailbox;

/* Embedded in what is waiting; its observer can be given to a future or a stream directly. */
struct cws_letter {
    struct cws_observer observer; /* notify is cws_letter_post's own */
    struct cws_mailbox *mailbox;
    struct cws_letter *next;
};

/* Any thread; the maker holds the one reference. */
enum cws_status cws_mailbox_new(struct cws_mailbox **out_mailbox,
                                struct cws_error *err) CWS_MUST_CHECK;
void cws_mailbox_ref(struct cws_mailbox *mailbox);
void cws_mailbox_unref(struct cws_mailbox *mailbox); /* NULL is allowed */

enum { CWS_MAILBOX_FDS = 2 };

/* The eventfds to watch for readability; 0 is in use at first. */
int cws_mailbox_fd(const struct cws_mailbox *mailbox, int which);

/* Prepares a letter to be an observer that puts itself into `mailbox` (reference taken by the
 * caller). */
void cws_letter_init(struct cws_letter *letter, struct cws_mailbox *mailbox);

/* Any thread, lock-free: puts the letter in. It must stay valid until drained. */
void cws_mailbox_put(struct cws_mailbox *mailbox, struct cws_letter *letter);

/* The loop's own thread: takes all letters, oldest first, linked by `next`; from here on eventfd
 * `next_fd` is in use. Of the puts of these letters one may still be about to wake through the
 * eventfd that was in use, as long as it holds its letter's lock. */
struct cws_letter *cws_mailbox_take(struct cws_mailbox *mailbox, int next_fd);

/* The loop's own thread: eventfd `which` is readable no more, unless it is in use and there are
 * letters. */
void cws_mailbox_quiet(struct cws_mailbox *mailbox, int which);

/* Any thread: the eventfd in use is readable until cws_mailbox_quiet. */
void cws_mailbox_wake(struct cws_mailbox *mailbox);
