/*
 * The input of an operation, such as a command. Each write is an operation of its own; writes are
 * sent in order, under flow control. The kind knows whose input it is and what its messages look
 * like.
 *
 * A write is cut into messages on the caller's thread, and waits here until the owner is ready for
 * input. It is done when its last message has been handed to the connection. That gives
 * back-pressure.
 */
#pragma once

#include "base/block.h"
#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"

struct cws_input;

/* One write, or the end of input. */
struct cws_write {
    struct cws_ref ref;
    struct cws_future future;
    enum cws_status how; /* valid once done: CWS_OK, or CWS_CLOSED if bytes were dropped because the
                            owner ended, or if the call failed before the end of input was sent */
    struct cws_input *input;
    struct cws_list node;
    struct cws_list blocks; /* messages, until they are given to the call */
    size_t blocks_left;     /* messages that are not settled yet; loop thread */
    bool is_close;
};

/* What one kind of input provides. Any thread may call these functions. */
struct cws_input_kind {
    /* Takes, and drops, a reference to the owner, which must live until a posted task has run. */
    void (*hold)(struct cws_input *input);
    void (*drop)(struct cws_input *input);
    size_t message_max; /* the most bytes of input in one message */
    /* Blocks for cws_call_send: up to `message_max` bytes of input; the message that ends the
     * input, which is sent before the half-close. NULL when out of memory. */
    struct cws_block *(*new_message)(const uint8_t *data, size_t len);
    struct cws_block *(*new_end)(void);
};

struct cws_input {
    const struct cws_input_kind *kind;
    struct cws_loop *loop;
    struct cws_task task;
    struct {
        pthread_mutex_t lock;  /* guards the rest; only the loop thread writes `lost` and `ended` */
        struct cws_list queue; /* writes in order, not yet given to the call */
        bool closed;           /* cws_input_close was called */
        bool failed;           /* no write is taken any more */
        bool lost;   /* … because the call has failed: how much of the input arrived is unknown */
        bool ended;  /* cws_input_end was called */
        bool posted; /* the task has been posted and has not run yet */
        struct cws_block *control; /* waits to be given to the call; NULL: none does */
    } synced;
    struct {
        struct cws_call *call; /* NULL until the owner takes input */
        unsigned controls_out; /* control messages that the call has and that have not left yet */
        struct cws_list
            fallen; /* writes that the call has dropped; they are done once the owner has ended */
    } loop_only;
};

void cws_input_init(struct cws_input *input, const struct cws_input_kind *kind,
                    struct cws_loop *loop);
void cws_input_done(struct cws_input *input);

/* Any thread: queues a copy of the bytes. CWS_CANCELLED if the owner has ended, else CWS_CLOSED
 * after cws_input_close; CWS_NO_MEMORY. The caller gets one reference to the write. */
enum cws_status cws_input_write(struct cws_input *input, const uint8_t *data, size_t len,
                                struct cws_write **out_write) CWS_MUST_CHECK;
/* Any thread: ends the input after what is queued. Closing again, or after the owner's end, gives a
 * write that is done already. CWS_NO_MEMORY. The caller gets one reference to the write. */
enum cws_status cws_input_close(struct cws_input *input,
                                struct cws_write **out_write) CWS_MUST_CHECK;
bool cws_input_is_closed(struct cws_input *input);
/* Any thread: a message that goes in front of the writes that have not been given to the call yet,
 * such as a terminal's new size. Only the newest one counts: it replaces one that still waits. It
 * is dropped if the input is closed or the owner has ended. Takes the block over. */
void cws_input_control(struct cws_input *input, struct cws_block *message);
/* Any thread: refuses further writes. Those that are queued are still sent. */
void cws_input_set_failed(struct cws_input *input);

void cws_write_ref(struct cws_write *write);
void cws_write_unref(struct cws_write *write); /* NULL is allowed */

/* Loop thread: the owner is ready. Input goes to this call from now on. */
void cws_input_open(struct cws_input *input, struct cws_call *call);
/* Loop thread: the owner has ended. Completes `owner`, its future; no write is taken from then on.
 * Queued writes are dropped and end with CWS_CLOSED, after the owner's future is done. So whoever
 * sees such a write end can ask why the owner ended. `lost`: the call has failed, so a pending
 * close fails, too. */
void cws_input_end(struct cws_input *input, bool lost, struct cws_future *owner);
