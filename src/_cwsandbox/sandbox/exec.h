/*
 * One command: a StreamExec call as an operation.
 *
 *   waiting (for its sandbox to run) → sent → exited | failed
 *
 * Started and cancelled on any thread, driven by the loop thread.
 */
#pragma once

#include "base/block.h"
#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"
#include "io/timer.h"
#include "sandbox/output.h"
#include "sandbox/sandbox.h"
#include "sandbox/stdin.h"

struct cws_exec_variable; /* exec_wire.h */

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
    struct cws_stdin stdin_; /* used when with_stdin */
    struct cws_task start_task, cancel_task, flow_task;

    /* Fixed at start: */
    struct cws_sandbox *sandbox; /* a reference */
    bool with_stdin;
    double timeout_s; /* negative: none */

    /* Valid once the future is done: */
    enum cws_exec_end end;
    int exit_code;
    struct cws_grpc_status status;
    char *frame_code; /* NULL: none */

    struct {
        atomic_int phase;        /* enum cws_phase */
        atomic_int keepers;      /* who may still ask for the output; stays 0 once it is */
        atomic_bool flow_posted; /* flow_task is under way */
        atomic_size_t held;      /* bytes of output that hold the command back */
    } shared;                    /* any thread's, without a lock */
    struct {
        struct cws_tenant tenant;
        struct cws_call *call;
        struct cws_output *piecewise; /* where the pieces of the message that is coming go */
        size_t head_len;              /* bytes in front of the first of them */
        uint8_t *init;                /* the init message without the sandbox's id, until sent */
        size_t init_len;
        char *cwd;              /* until sent; NULL: none was asked for */
        struct cws_timer timer; /* ready gate, then the wait for the peer to end the stream */
    } loop_only;
};

struct cws_exec_options {
    char **argv; /* UTF-8, NUL-terminated */
    size_t argc;
    const char *container; /* "": the primary one */
    const char *cwd;       /* an absolute path to start in; NULL: the sandbox's own */
    bool with_stdin;
    double timeout_s; /* counts from the moment the exec is sent; negative: none */
    const struct cws_exec_variable *env;
    size_t env_count;
    enum cws_output_kept kept;
    size_t output_max; /* CWS_OUTPUT_ENDS: bytes kept of each stream */
};

/* Starts the command, or lets it wait for the sandbox. Copies the options. The caller gets one
 * reference and is a keeper. */
enum cws_status cws_exec_start(struct cws_sandbox *sandbox, const struct cws_exec_options *options,
                               struct cws_exec **out_exec) CWS_MUST_CHECK;
void cws_exec_ref(struct cws_exec *exec);
void cws_exec_unref(struct cws_exec *exec); /* NULL is allowed */

/* True: it ends with CWS_EXEC_CANCELLED (now or by an earlier call) and its stream is reset; false:
 * it was done already. */
bool cws_exec_cancel(struct cws_exec *exec);

/* Any thread: one more, or one less, that may ask for the output. With the last one gone, output is
 * discarded for good; the command goes on. Each keeper holds a reference of its own: keep takes it,
 * let_go gives it up. Keep needs a reference of the caller's, and takes none and returns false
 * where the last keeper is gone. */
bool cws_exec_keep(struct cws_exec *exec) CWS_MUST_CHECK;
void cws_exec_let_go(struct cws_exec *exec);

/* Any thread, as cws_output_close of `out` or `err`. Where only unread output is kept, that of a
 * closed stream is discarded; else, with both closed, only the ends of what is yet to come are kept
 * (CWS_EXEC_CLOSED_MAX). */
void cws_exec_close_output(struct cws_exec *exec, struct cws_output *output);

/* Bytes of each stream that are kept for the result when both readers were closed. */
#define CWS_EXEC_CLOSED_MAX ((size_t)8 * 1024 * 1024)
/* CWS_OUTPUT_UNREAD: bytes that are kept of a stream without a reader while somebody waits for the
 * end or for the other stream. */
#define CWS_EXEC_UNREAD_MAX ((size_t)256 * 1024)

/* ---- for exec.c, on the loop thread --------------------------------------------------------- */

/* Before the start. */
void cws_exec_flow_init(struct cws_exec *exec, const struct cws_exec_options *options);
/* Output has come. */
void cws_exec_flow_update(struct cws_exec *exec);
