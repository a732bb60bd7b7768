/*
 * One running command: a StreamExec call as an operation.
 *
 *   waiting (for its sandbox to run) → sent → ready → exited | failed
 *
 * Made and cancelled on any thread, driven by the loop thread. The result fields may be read once `future` is done.
 */
#pragma once

#include "base/block.h"
#include "base/ref.h"
#include "grpc/status.h"
#include "io/future.h"
#include "io/timer.h"
#include "sandbox/output.h"

struct cws_sandbox;
struct cws_call;

enum cws_exec_end {
    CWS_EXEC_RUNNING,
    CWS_EXEC_EXITED,        /* exit_code holds */
    CWS_EXEC_STATUS,        /* gRPC status: `status` */
    CWS_EXEC_FRAME,         /* in-band error: status.message, frame_code */
    CWS_EXEC_NO_EXIT,       /* the stream ended OK without an exit status */
    CWS_EXEC_READY_TIMEOUT, /* stdin: no ready frame in time */
    CWS_EXEC_NOT_OPEN,      /* the sandbox could not be started (cws_sandbox_fail) */
    CWS_EXEC_CLOSED,        /* the sandbox was stopped (cws_sandbox_close) */
    CWS_EXEC_CANCELLED,     /* cws_exec_cancel */
};

struct cws_exec {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_output out;
    struct cws_output err;

    /* Fixed at start: */
    struct cws_sandbox *sandbox; /* a reference */
    bool with_stdin;
    bool check; /* only counted by: a non-zero exit is no failure of the exec */
    double timeout_s; /* negative: none */

    /* Valid once the future is done: */
    enum cws_exec_end end;
    int exit_code;
    struct cws_grpc_status status;
    char *frame_code;

    /* stdin, guarded by stdin_lock: writes not yet given to the call */
    pthread_mutex_t stdin_lock;
    struct cws_list stdin_queue;
    bool stdin_closed; /* cws_exec_close_stdin was called */
    bool stdin_failed; /* no more input can be sent */
    bool stdin_posted; /* a task that drains the queue is under way */

    /* The loop thread's: */
    struct cws_task start_task, stdin_task, cancel_task;
    struct cws_list node;     /* in the sandbox's list of execs */
    struct cws_call *call;
    struct cws_block *init;   /* the first message, until sent */
    struct cws_timer ready_timer;
    bool ready;
    bool half_closed;
};

struct cws_exec_options {
    const char *const *argv; /* UTF-8 */
    const size_t *argv_len;
    size_t argc;
    const char *container; /* "" : the primary one */
    bool with_stdin;
    double timeout_s;
};

/* Any thread: starts the command, or lets it wait for the sandbox. The caller gets one reference. */
enum cws_status cws_exec_start(struct cws_sandbox *sandbox, const struct cws_exec_options *options,
                               struct cws_exec **out_exec, struct cws_error *err) CWS_MUST_CHECK;
void cws_exec_ref(struct cws_exec *exec);
void cws_exec_unref(struct cws_exec *exec); /* NULL is allowed */

/* Any thread: ends it with CWS_EXEC_CANCELLED unless it is done (then nothing). The stream is reset. */
void cws_exec_cancel(struct cws_exec *exec);

/* A write to stdin as an operation: its future is done when the bytes were handed to the connection (how == CWS_OK), or were
 * dropped because the command ended (CWS_CLOSED). */
struct cws_write {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_list node;
    enum cws_status how;
    size_t blocks_left; /* loop thread */
    bool is_close;
    size_t len;
    uint8_t data[];
};

/* Any thread: queues a copy of the bytes (writes of one thread keep their order). CWS_CLOSED: after close_stdin; CWS_CANCELLED:
 * the command has ended or failed. The caller gets one reference. */
enum cws_status cws_exec_write(struct cws_exec *exec, const uint8_t *data, size_t len,
                               struct cws_write **out_write) CWS_MUST_CHECK;
/* Any thread: end of input after what is queued. Repeating it gives an operation that is done. */
enum cws_status cws_exec_close_stdin(struct cws_exec *exec, struct cws_write **out_write) CWS_MUST_CHECK;
void cws_write_unref(struct cws_write *write); /* NULL is allowed */
