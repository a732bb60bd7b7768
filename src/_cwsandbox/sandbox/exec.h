/*
 * One command: a StreamExec call as an operation. With a terminal, the command reads and writes
 * that: it has input, and all of its output comes through `out`.
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
#include "sandbox/exec_wire.h"
#include "sandbox/input.h"
#include "sandbox/output.h"
#include "sandbox/sandbox.h"
#include "sandbox/trace.h"

enum cws_exec_end {
    CWS_EXEC_RUNNING,
    CWS_EXEC_EXITED,        /* exited; see exit_code */
    CWS_EXEC_STATUS,        /* the call failed; see status */
    CWS_EXEC_FRAME,         /* the service sent an error frame; see status.message and frame_code */
    CWS_EXEC_NO_EXIT,       /* the stream ended OK without an exit status */
    CWS_EXEC_READY_TIMEOUT, /* with stdin: no ready frame arrived in time */
    CWS_EXEC_NOT_OPEN,      /* the sandbox could not be started (cws_sandbox_fail) */
    CWS_EXEC_CLOSED,        /* the sandbox was stopped (cws_sandbox_close) */
    CWS_EXEC_CANCELLED,     /* cws_exec_cancel */
};

/* For those who show it: "exited", "status", "frame", "no_exit", "ready_timeout", "not_open",
 * "closed" or "cancelled". */
const char *cws_exec_end_name(enum cws_exec_end end);

struct cws_exec {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_output out;
    struct cws_output err;
    struct cws_input input; /* used when with_stdin */
    struct cws_task start_task, cancel_task, flow_task;

    /* Fixed at start: */
    struct cws_sandbox *sandbox; /* a reference */
    struct cws_trace *trace;     /* a reference; NULL: nobody traces it */
    bool with_stdin;
    bool tty;         /* it has a terminal, and with_stdin */
    bool check;       /* an exit code other than 0 counts among the failures */
    bool is_helper;   /* what it does is a part of something else: it is not counted, and its time
                         limit counts from the start */
    double timeout_s; /* negative: none */

    /* Valid once the future is done: */
    enum cws_exec_end end;
    int exit_code;
    struct cws_grpc_status status;
    char *frame_code; /* NULL: none */

    struct {
        atomic_int phase;        /* enum cws_phase */
        atomic_int keepers;      /* how many may still ask for the output; once 0, it stays 0 */
        atomic_bool flow_posted; /* flow_task has been posted and has not run yet */
        atomic_size_t held;      /* bytes of output that hold the command back */
    } shared;                    /* any thread's, without a lock */
    struct {
        struct cws_tenant tenant;
        struct cws_call *call;
        struct cws_output *piecewise; /* where the pieces of the message that is arriving go */
        size_t head_len;              /* bytes of that message in front of its data */
        uint8_t *init;                /* the init message without the sandbox's id, until sent */
        size_t init_len;
        char *cwd;              /* until sent; NULL: none was asked for */
        uint64_t deadline_ns;   /* a helper's; CWS_NO_DEADLINE: none */
        struct cws_timer timer; /* the time limit of a helper that waits for the sandbox, then for
                                   the ready frame, then for the peer to end the stream */
    } loop_only;
};

struct cws_exec_options {
    char **argv; /* UTF-8, NUL-terminated */
    size_t argc;
    const char *container; /* "": the primary one */
    const char *cwd;       /* an absolute path to start in; NULL: the sandbox's own */
    bool with_stdin;
    bool tty;                  /* it gets a terminal, which brings input with it … */
    struct cws_exec_size size; /* … of this size */
    bool check;       /* an exit code other than 0 is a failure to whoever starts the command */
    bool is_helper;   /* what it does is a part of something else: it is not counted, and its time
                         limit counts from the start */
    double timeout_s; /* counts from the moment the exec is sent; negative: none */
    const struct cws_exec_variable *env;
    size_t env_count;
    enum cws_output_kept kept;
    size_t output_max;       /* CWS_OUTPUT_ENDS: how many bytes of each stream are kept */
    struct cws_trace *trace; /* NULL: nobody traces it. Its reference is taken over on success */
};

/* Starts the command, or makes it wait for the sandbox. Copies the options. The caller gets one
 * reference and is a keeper (see below). CWS_NO_MEMORY. Any thread. */
enum cws_status cws_exec_start(struct cws_sandbox *sandbox, const struct cws_exec_options *options,
                               struct cws_exec **out_exec) CWS_MUST_CHECK;
void cws_exec_ref(struct cws_exec *exec);
void cws_exec_unref(struct cws_exec *exec); /* NULL is allowed */

/* Any thread. True: the exec ends with CWS_EXEC_CANCELLED, because of this call or an earlier one,
 * and its stream is reset. False: it had ended already. */
bool cws_exec_cancel(struct cws_exec *exec);

/* Any thread, for a command with a terminal: gives it a new size. Goes in front of input that is
 * still queued; only the newest size counts. Dropped after the end of the command or of its input.
 * CWS_NO_MEMORY. */
enum cws_status cws_exec_resize(struct cws_exec *exec, struct cws_exec_size size) CWS_MUST_CHECK;

/* Any thread. A keeper is a user who may still ask for the output. When the last keeper has let go,
 * output is discarded for good; the command goes on. Each keeper has a reference of its own: keep
 * takes it, let_go drops it. The caller of keep must hold a reference. Keep returns false, and
 * takes none, if the last keeper has let go already. */
bool cws_exec_keep(struct cws_exec *exec) CWS_MUST_CHECK;
void cws_exec_let_go(struct cws_exec *exec);

/* Any thread: cws_output_close of `out` or `err`. With CWS_OUTPUT_UNREAD the closed stream's output
 * is discarded. With CWS_OUTPUT_ALL, once both streams are closed, only the first and last bytes of
 * each are kept (CWS_EXEC_CLOSED_MAX). */
void cws_exec_close_output(struct cws_exec *exec, struct cws_output *output);

/* How many bytes of each stream are kept for the result once both readers were closed. */
#define CWS_EXEC_CLOSED_MAX ((size_t)8 * 1024 * 1024)
/* CWS_OUTPUT_UNREAD: how many bytes are kept of a stream that has no reader while somebody waits
 * for the end or for the other stream. */
#define CWS_EXEC_UNREAD_MAX ((size_t)256 * 1024)

/* ---- for exec.c, on the loop thread --------------------------------------------------------- */

/* Sets up how output is kept, before the exec starts. */
void cws_exec_flow_init(struct cws_exec *exec, const struct cws_exec_options *options);
/* Output has arrived: decides anew what is kept and whether the command is held back. */
void cws_exec_flow_update(struct cws_exec *exec);
