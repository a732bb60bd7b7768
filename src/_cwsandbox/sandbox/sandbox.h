/*
 * The core's side of one sandbox. Its tenants wait here until it is known to run, and end with it.
 *
 * Any thread may call these functions, except cws_sandbox_admit. What they ask for is done on the
 * loop thread, in the order of the calls. CWS_NO_MEMORY is their only error.
 */
#pragma once

#include <stdatomic.h>

#include "base/ref.h"
#include "grpc/call.h"
#include "io/queue.h"
#include "sandbox/route.h"
#include "sandbox/tenant.h"

enum cws_sandbox_state {
    CWS_SANDBOX_WAITING,
    CWS_SANDBOX_OPEN,
    CWS_SANDBOX_CLOSED,
};

struct cws_sandbox {
    struct cws_ref ref;
    struct cws_loop *loop;
    atomic_long exec_count, completed_ok, completed_nonzero, failures; /* counted by execs */
    atomic_bool direct_missed; /* a tenant has missed the direct way since it was set */
    /* The sandboxes whose endpoints have refused calls that wait for another connection, for
     * whoever can make one. */
    struct cws_queue *refusals; /* fixed before its first tenant; a reference. NULL: a call that
                                      a strict direct way refuses ends */
    struct cws_list refusal;    /* with a reference while it is there */
    void *owner;                /* for whoever takes it from there: the starter's own, NULL once
                                   that is gone; guarded by the starter */
    struct {
        enum cws_sandbox_state state;
        struct cws_channel *channel; /* when open; a reference */
        char *id;                    /* when open */
        struct cws_direct direct;
        struct cws_list waiting;          /* struct cws_tenant: not sent yet */
        struct cws_list running;          /* sent and not gone */
        struct cws_refused_calls refused; /* of tenants that run: wait for another direct way */
    } loop_only;
};

/* The caller gets one reference. */
enum cws_status cws_sandbox_new(struct cws_loop *loop,
                                struct cws_sandbox **out_sandbox) CWS_MUST_CHECK;
void cws_sandbox_ref(struct cws_sandbox *sandbox);
void cws_sandbox_unref(struct cws_sandbox *sandbox); /* NULL is allowed */

/* The sandbox is known to run under this id. Waiting tenants are sent in the order in which they
 * were admitted, later ones at once. Opening it again replaces channel and id for later tenants,
 * and ends refused calls that have still no other way. A closed sandbox stays closed. */
enum cws_status cws_sandbox_open(struct cws_sandbox *sandbox, struct cws_channel *channel,
                                 const char *id) CWS_MUST_CHECK;
/* The sandbox is not, or no longer, known to run. Waiting tenants end with CWS_EVICTION_NOT_OPEN;
 * later ones wait again. Refused calls end as they were refused. Other running tenants are left
 * alone. */
enum cws_status cws_sandbox_fail(struct cws_sandbox *sandbox) CWS_MUST_CHECK;
/* The sandbox was stopped. Waiting and running tenants end with CWS_EVICTION_CLOSED, later ones at
 * once. */
enum cws_status cws_sandbox_close(struct cws_sandbox *sandbox) CWS_MUST_CHECK;

/* From now on tenants go the direct way where they can (sandbox/route.h); `direct->channel` is
 * counted. All zero: they do not. Refused calls that may go this way are sent there. */
enum cws_status cws_sandbox_set_direct(struct cws_sandbox *sandbox,
                                       const struct cws_direct *direct) CWS_MUST_CHECK;
/* Later tenants wait until the sandbox is opened again; nobody is ended. */
enum cws_status cws_sandbox_hold(struct cws_sandbox *sandbox) CWS_MUST_CHECK;

/* Takes from the queue: the first sandbox, with a reference. As cws_queue_pop. */
struct cws_sandbox *cws_sandbox_pop_refusal(struct cws_queue *refusals,
                                            struct cws_observer *observer);
/* Nobody makes another way for refused calls: they end as they were refused. */
enum cws_status cws_sandbox_end_refused(struct cws_sandbox *sandbox) CWS_MUST_CHECK;
/* The sandbox has ended, so that nobody can make one: the tenants of refused calls end with
 * CWS_EVICTION_CLOSED, others are left alone. */
enum cws_status cws_sandbox_evict_refused(struct cws_sandbox *sandbox) CWS_MUST_CHECK;

/* Loop thread, for a tenant that is sent: the channel for its call, as cws_route. */
struct cws_channel *cws_sandbox_route(struct cws_sandbox *sandbox, struct cws_tenant *tenant,
                                      enum cws_data_method method,
                                      struct cws_call_options *options);

/* Loop thread: makes the tenant wait, sends it or ends it, depending on the sandbox's state. The
 * tenant may be gone when this returns. */
void cws_sandbox_admit(struct cws_sandbox *sandbox, struct cws_tenant *tenant);
