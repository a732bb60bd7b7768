/*
 * Reading or writing a whole file: one ReadFile or WriteFile call as an operation.
 *
 *   waiting (for its sandbox to run) → sent → done | unfinished
 *
 * Most operations end with that call. A few need more: a stream for a file that is too large for
 * one message, or a second try if the service asks for it. Those go into a queue as unfinished, and
 * whoever takes one from there does the rest (cws_file_finish).
 *
 * Started and cancelled on any thread, driven by the loop thread.
 */
#pragma once

#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"
#include "io/queue.h"
#include "io/timer.h"
#include "sandbox/output.h"
#include "sandbox/sandbox.h"
#include "sandbox/trace.h"

/* This many bytes of the content are copied when the operation starts; the rest is borrowed. */
#define CWS_FILE_COPIED_MAX ((size_t)64 * 1024)

enum cws_file_end {
    CWS_FILE_RUNNING,
    CWS_FILE_DONE,      /* read: see `content` */
    CWS_FILE_STATUS,    /* the call failed; see status */
    CWS_FILE_NOT_OPEN,  /* the sandbox could not be started (cws_sandbox_fail) */
    CWS_FILE_CLOSED,    /* the sandbox was stopped (cws_sandbox_close) */
    CWS_FILE_CANCELLED, /* cws_file_cancel */
};

struct cws_file {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_task start_task, cancel_task;
    struct cws_list place; /* in the queue of unfinished operations */
    bool is_unfinished;    /* its call was not enough; guarded by the queue's lock */
    void *owner;           /* the starter's own */

    /* Fixed at start: */
    struct cws_sandbox *sandbox;  /* a reference */
    struct cws_queue *unfinished; /* a reference */
    struct cws_trace *trace;      /* a reference; NULL: nobody traces it */
    bool is_write;
    double timeout_s; /* negative: none */

    /* Valid once the future is done or the operation was taken from the queue: */
    enum cws_file_end end;
    struct cws_grpc_status status;
    struct cws_output content;
    uint64_t deadline_ns; /* absolute; CWS_NO_DEADLINE: none */

    atomic_int phase; /* any thread's: enum cws_phase */
    struct {
        struct cws_tenant tenant;
        struct cws_call *call;
        struct cws_timer timer; /* the time limit while it waits for the sandbox */
        size_t replies;         /* replies received; exactly one is correct */
        size_t head_len;        /* bytes in front of the content in the reply that is arriving */
        bool out_of_memory;
        bool garbled; /* the reply could not be decoded */
        const uint8_t *borrowed;
        size_t borrowed_len;
    } loop_only;
    const char *container;
    const uint8_t *copied;
    size_t copied_len;
    char path[]; /* then the container and the copied content */
};

struct cws_file_options {
    bool is_write;
    const char *path;       /* UTF-8, NUL-terminated */
    const char *container;  /* "": the primary one */
    const uint8_t *content; /* write. Beyond CWS_FILE_COPIED_MAX bytes it is borrowed, until `end`
                               is not RUNNING any more (cws_file_is_sent) */
    size_t content_len;
    double timeout_s; /* counts from the start; negative: none */
    struct cws_queue *unfinished;
    struct cws_trace *trace; /* NULL: nobody traces it. Its reference is taken over on success */
};

/* Starts the operation, or makes it wait for the sandbox. Copies the options. The caller gets one
 * reference. CWS_NO_MEMORY. Any thread. */
enum cws_status cws_file_start(struct cws_sandbox *sandbox, const struct cws_file_options *options,
                               struct cws_file **out_file) CWS_MUST_CHECK;
void cws_file_ref(struct cws_file *file);
void cws_file_unref(struct cws_file *file); /* NULL is allowed */

/* Any thread. True: the operation ends with CWS_FILE_CANCELLED, because of this call or an earlier
 * one. False: it had ended already. Not after it was taken from the queue. */
bool cws_file_cancel(struct cws_file *file);

/* Any thread: nobody waits for the operation any more. It goes on, and is put into its queue, where
 * whoever takes it keeps what it has borrowed. */
void cws_file_leave(struct cws_file *file);

/* Any thread: takes the first operation out of the queue, with the queue's reference. If
 * *out_unfinished, its call was not enough, and the caller has to do the rest. Otherwise the
 * operation was left, and its call may still be under way. NULL if there is none; `observer` as for
 * cws_queue_pop. */
struct cws_file *cws_file_pop(struct cws_queue *queue, bool *out_unfinished,
                              struct cws_observer *observer);

/* Any thread, once, after the operation was taken from the queue as unfinished: the rest is done.
 * The loop thread completes the future. */
void cws_file_finish(struct cws_file *file);
