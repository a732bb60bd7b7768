/*
 * The input of an operation, such as a command: writes in order, each an operation of its own, sent
 * under flow control. Whose input it is and what its messages look like is the kind's affair.
 *
 * Writes are cut into messages on the caller's thread, wait here until the owner is ready for
 * input, and are done when the last of their messages was handed to the connection: that is the
 * back-pressure.
 */
#pragma once

#include "base/block.h"
#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"

struct cws_stdin;

/* One write, or the end of input. */
struct cws_write {
    struct cws_ref ref;
    struct cws_future future;
    enum cws_status how; /* once done: CWS_OK, or CWS_CLOSED when bytes were dropped because the
                            owner ended, or when the call was lost before the end of input was
                            sent */
    struct cws_stdin *stdin_;
    struct cws_list node;
    struct cws_list blocks; /* messages, until they are given to the call */
    size_t blocks_left;     /* messages not settled; loop thread */
    bool is_close;
};

/* Any thread may call these. */
struct cws_stdin_kind {
    /* The owner keeps itself alive while a task is under way, and lets go. */
    void (*hold)(struct cws_stdin *stdin_);
    void (*drop)(struct cws_stdin *stdin_);
    size_t message_max; /* bytes of input in one message, at most */
    /* A block for cws_call_send: up to `message_max` bytes of input; the end of the input, which
     * goes before the half-close. NULL when out of memory. */
    struct cws_block *(*new_message)(const uint8_t *data, size_t len);
    struct cws_block *(*new_end)(void);
};

struct cws_stdin {
    const struct cws_stdin_kind *kind;
    struct cws_loop *loop;
    struct cws_task task;
    struct {
        pthread_mutex_t lock;  /* guards the rest; `lost` is written by the loop thread alone */
        struct cws_list queue; /* writes in order, not yet given to the call */
        bool closed;           /* cws_stdin_close was called */
        bool failed;           /* nothing can be sent any more */
        bool lost;   /* … because the call has failed: what became of the input is unknown */
        bool posted; /* the task is under way */
    } synced;
    struct {
        struct cws_call *call; /* NULL until the owner takes input */
        bool ended;            /* cws_stdin_end was called */
        struct cws_list
            fallen; /* writes the call has dropped: done when the owner's end is known */
    } loop_only;
};

void cws_stdin_init(struct cws_stdin *stdin_, const struct cws_stdin_kind *kind,
                    struct cws_loop *loop);
void cws_stdin_done(struct cws_stdin *stdin_);

/* Any thread: queues a copy of the bytes. CWS_CLOSED after cws_stdin_close; CWS_CANCELLED when the
 * owner has ended (this one wins); CWS_NO_MEMORY. The caller gets one reference to the write. */
enum cws_status cws_stdin_write(struct cws_stdin *stdin_, const uint8_t *data, size_t len,
                                struct cws_write **out_write) CWS_MUST_CHECK;
/* Any thread: end of input after what is queued. Repeating it, or closing after the owner's end,
 * gives a write that is done. */
enum cws_status cws_stdin_close(struct cws_stdin *stdin_,
                                struct cws_write **out_write) CWS_MUST_CHECK;
bool cws_stdin_is_closed(struct cws_stdin *stdin_);
/* Any thread: no further writes are taken; those queued go on. */
void cws_stdin_set_failed(struct cws_stdin *stdin_);

void cws_write_ref(struct cws_write *write);
void cws_write_unref(struct cws_write *write); /* NULL is allowed */

/* Loop thread: the owner is ready, input goes to this call from now on. */
void cws_stdin_open(struct cws_stdin *stdin_, struct cws_call *call);
/* Loop thread: the owner has ended. Completes `owner`, its future; from that moment on no write is
 * taken. What is queued is dropped, its writes end with CWS_CLOSED, after the owner: who sees their
 * end can ask for its. `lost`: its call has failed, so that closing the input fails, too. */
void cws_stdin_end(struct cws_stdin *stdin_, bool lost, struct cws_future *owner);
