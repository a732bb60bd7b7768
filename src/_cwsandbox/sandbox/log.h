/*
 * The log of a sandbox's main command: StreamLogs calls as one operation, whose output is the log.
 * With `follow` it asks again when a call is lost, and goes on where that stopped; see
 * docs/logs.md.
 *
 *   waiting (for its sandbox to run) → asking → ended
 *                                        ↕
 *                     pausing (until it asks again) · parked (until its reader has caught up)
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
/* While this much is unread, it does not ask again. */
#define CWS_LOG_UNREAD_MAX ((size_t)256 * 1024)
/* It asks again for so long after the first of several failures without data between them. A call
 * that was open for so long is no failure of that kind. */
#define CWS_LOG_PATIENCE_NS (30 * CWS_NS_PER_S)
/* Once the sandbox is closed, the service has so long to send what is left, and then again after
 * each piece. */
#define CWS_LOG_LINGER_NS (5 * CWS_NS_PER_S)

enum cws_log_end {
    CWS_LOG_OPEN,
    CWS_LOG_COMPLETE,  /* the service said that this is all */
    CWS_LOG_STATUS,    /* the call failed; see status */
    CWS_LOG_FRAME,     /* the service sent an error; see status.message and frame_code */
    CWS_LOG_LOST,      /* it asked again in vain; status and frame_code are of the last failure */
    CWS_LOG_NOT_OPEN,  /* the sandbox could not be started (cws_sandbox_fail) */
    CWS_LOG_CLOSED,    /* the sandbox was stopped (cws_sandbox_close), and the log did not end by
                          itself */
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
        struct cws_timer timer; /* PAUSING: asks again. ASKING: gives up a call that does not open
                                   or, once the sandbox is closed, one that does not end */
        bool is_closing;        /* the sandbox was closed, and the call may still end by itself */
        size_t size_before;     /* of the output, when the timer for that was set */
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

/* Asks for the log, or for the rest of it. */
void cws_log_ask(struct cws_log *log);
/* Ends it, unless it has ended. */
void cws_log_end(struct cws_log *log, enum cws_log_end end);
/* Ends it with a status made here. */
void cws_log_fail(struct cws_log *log, int code, const char *text);

/* Where the next call is to go on. */
enum cws_log_from {
    CWS_LOG_FROM_PLACE,      /* in the same session, if one is known */
    CWS_LOG_FROM_FAILURE,    /* in a new one, with what comes from the failure on */
    CWS_LOG_FROM_LAST_ENTRY, /* likewise, but from the time of the last entry on: the service has
                                nothing any more that was in it */
};

/* Whether a call of a followed log that failed like this is worth another one, and where to go on
 * then. *out_wish_ns is how long the service asks to wait; 0: it does not. */
bool cws_log_may_ask_again(const struct cws_grpc_status *status, enum cws_log_from *out_from,
                           uint64_t *out_wish_ns);
/* Likewise for an error that the service sent, and where to go on then. */
bool cws_log_may_ask_again_after(const char *code, enum cws_log_from *out_from);
/* Its call is over, and `status` says why: asks again in a while, `wish_ns` if that is not 0, or
 * gives up. */
void cws_log_ask_again(struct cws_log *log, enum cws_log_from from, uint64_t wish_ns);
/* Data has come. */
void cws_log_has_recovered(struct cws_log *log);
/* Parked, and the reader has caught up. */
void cws_log_unpark(struct cws_log *log);
