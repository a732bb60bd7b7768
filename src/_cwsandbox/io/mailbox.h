/*
 * The way from any thread into one event loop of the user's: a queue with an eventfd that becomes readable
 * when the queue is not empty. Many puts, one wake-up; the loop drains with the locks it already holds.
 *
 * The eventfd is cleared when the loop says so, not when it takes the letters: it may leave itself a reason to come back.
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
enum cws_status cws_mailbox_new(struct cws_mailbox **out_mailbox, struct cws_error *err) CWS_MUST_CHECK;
void cws_mailbox_ref(struct cws_mailbox *mailbox);
void cws_mailbox_unref(struct cws_mailbox *mailbox); /* NULL is allowed */

/* The eventfd to watch for readability. */
int cws_mailbox_fd(const struct cws_mailbox *mailbox);

/* Prepares a letter to be an observer that puts itself into `mailbox` (reference taken by the caller). */
void cws_letter_init(struct cws_letter *letter, struct cws_mailbox *mailbox);

/* Any thread, lock-free: puts the letter in. It must stay valid until drained. */
void cws_mailbox_put(struct cws_mailbox *mailbox, struct cws_letter *letter);

/* The loop's own thread: takes all letters, oldest first, linked by `next`. The eventfd stays readable. */
struct cws_letter *cws_mailbox_take(struct cws_mailbox *mailbox);

/* The loop's own thread, with no letter left: the eventfd is readable no more, unless others have come meanwhile. */
void cws_mailbox_quiet(struct cws_mailbox *mailbox);

/* Any thread: the eventfd is readable until cws_mailbox_quiet. */
void cws_mailbox_wake(const struct cws_mailbox *mailbox);
