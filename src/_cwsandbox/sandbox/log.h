/*
 * The log of a sandbox's main command: one operation made of StreamLogs calls, whose output is the
 * log. With `follow` a lost call is followed by another one, which continues where the first
 * stopped (docs/logs.md).
 *
 *   waiting (for its sandbox to run) → asking → ended
 *                                        ↕
 *                     pausing (before the next call) · parked (until the reader catches up)
 *
 * Started and cancelled on any thread, driven by the loop thread.
 */
#pragma once

#include "base/ref.h"
#include "grpc/call.h"
#include "io/future.h"
#include "io/timer.h"
#include "sandbox/log_wire.h"
#include "sandbox/output.h"
#include "sandbox/sandbox.h"
#include "sandbox/trace.h"

/* The longest line that is handed out whole; longer ones come in pieces. */
#define CWS_LOG_LINE_MAX ((size_t)1024 * 1024)
/* No new call is made while this much is unread. */
#define CWS_LOG_UNREAD_MAX ((size_t)256 * 1024)
/* How long new calls are tried after the first of several failures in a row. Data ends the row, and
 * so does a call that stayed open this long. */
#define CWS_LOG_PATIENCE_NS (30 * CWS_NS_PER_S)
/* Once the sandbox is closed, the service has this long to send the next piece of what is left. */
#define CWS_LOG_LINGER_NS (5 * CWS_NS_PER_S)

enum cws_log_end {
    CWS_LOG_OPEN,
    CWS_LOG_COMPLETE,  /* the service said that this is all */
    CWS_LOG_STATUS,    /* the call failed; see status */
    CWS_LOG_FRAME,     /* the service sent an error; see status.message and frame_code */
    CWS_LOG_LOST,      /* new calls failed, too; status and frame_code are of the last one */
    CWS_LOG_NOT_OPEN,  /* the sandbox could not be started (cws_sandbox_fail) */
    CWS_LOG_CLOSED,    /* the sandbox was stopped (cws_sandbox_close) before the log ended */
    CWS_LOG_CANCELLED, /* cws_log_cancel */
};

enum cws_log_state {
    CWS_LOG_WAITING,
    CWS_LOG_ASKING,
    CWS_LOG_PAUSING,
    CWS_LOG_PARKED,
};

struct cws_log {
    struct cws_ref ref;
    struct cws_future future;
    struct cws_output output;
    struct cws_task start_task, cancel_task, flow_task;

    /* Fixed at start: */
    struct cws_sandbox *sandbox; /* a reference */
    struct cws_trace *trace;     /* a reference; NULL: nobody traces it */
    char *container;
    bool follow;
    double timeout_s; /* of the call, without `follow`; negative: none */

    /* Valid once the future is done: */
    enum cws_log_end end;
    struct cws_grpc_status status;
    char *frame_code; /* NULL: none */

    struct {
        atomic_int phase;        /* enum cws_phase */
        atomic_bool flow_posted; /* flow_task has been posted and has not run yet */
        atomic_size_t held;      /* bytes that hold the service back */
    } shared;                    /* any thread's, without a lock */
    struct {
        struct cws_tenant tenant;
        enum cws_log_state state;
        struct cws_call *call;
        struct cws_timer timer; /* PAUSING: makes the next call. ASKING: gives up on a call that
                                   does not open or, once the sandbox is closed, does not end */
        bool is_closing;        /* the sandbox was closed, and the call may still complete */
        size_t size_before;     /* bytes of output when the timer for that was set */
        struct cws_log_window window; /* for the next request without a session */
        char *session;                /* NULL: none */
        uint64_t offset;
        bool has_time;
        struct cws_log_time time;  /* of the last entry with data */
        unsigned failures;         /* in a row */
        uint64_t failing_since_ns; /* the first of them */
        uint64_t opened_ns;        /* when the call got a stream; 0: not yet */
    } loop_only;
};

struct cws_log_options {
    const char *container; /* "": the primary one */
    bool follow;
    struct cws_log_window window;
    double timeout_s; /* without `follow`: counts from the moment the request is sent; negative:
                         none */
    struct cws_trace *trace; /* NULL: nobody traces it. Its reference is taken over on success */
};

/* Starts to read the log, or makes it wait for the sandbox. Copies the options. The caller gets one
 * reference. CWS_NO_MEMORY. Any thread. */
enum cws_status cws_log_start(struct cws_sandbox *sandbox, const struct cws_log_options *options,
                              struct cws_log **out_log) CWS_MUST_CHECK;
void cws_log_ref(struct cws_log *log);
void cws_log_unref(struct cws_log *log); /* NULL is allowed */

/* Any thread. True: it ends with CWS_LOG_CANCELLED, because of this call or an earlier one. False:
 * it had ended already. */
bool cws_log_cancel(struct cws_log *log);

/* ---- between log.c and log_retry.c, on the loop thread -------------------------------------- */

/* Makes a call for the log, or for the rest of it. */
void cws_log_ask(struct cws_log *log);
/* Ends the operation. Does nothing if it has ended. */
void cws_log_end(struct cws_log *log, enum cws_log_end end);
/* Ends the operation with a status of our own. */
void cws_log_fail(struct cws_log *log, int code, const char *text);

/* Where the next call continues. */
enum cws_log_from {
    CWS_LOG_FROM_PLACE,      /* in the same session, if one is known */
    CWS_LOG_FROM_FAILURE,    /* in a new session, from the time of the failure */
    CWS_LOG_FROM_LAST_ENTRY, /* in a new session, from the time of the last entry: the service no
                                longer has what the old one was to send */
};

/* Whether a followed log makes another call after this failure, and where that continues.
 * *out_wish_ns is how long the service asks to wait; 0: it does not. */
bool cws_log_may_ask_again(const struct cws_grpc_status *status, enum cws_log_from *out_from,
                           uint64_t *out_wish_ns);
/* Likewise for an error that came in the stream. */
bool cws_log_may_ask_again_after(const char *code, enum cws_log_from *out_from);
/* The call is over, and `status` says why. Makes another one after a pause, which is `wish_ns` if
 * that is not 0, or gives up. */
void cws_log_ask_again(struct cws_log *log, enum cws_log_from from, uint64_t wish_ns);
/* Data has come. */
void cws_log_has_recovered(struct cws_log *log);
/* The log was parked, and the reader has caught up. */
void cws_log_unpark(struct cws_log *log);
