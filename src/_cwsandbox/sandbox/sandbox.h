/*
 * The core's side of one sandbox: where its tenants wait until it is known to run, and end with it.
 *
 * Any thread may call the functions, but for cws_sandbox_admit; what they ask for happens on the
 * loop thread, in the order of the calls.
 */
#pragma once

#include <stdatomic.h>

#include "base/ref.h"
#include "grpc/channel.h"
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
    struct {
        enum cws_sandbox_state state;
        struct cws_channel *channel; /* when open; a reference */
        char *id;                    /* when open */
        struct cws_list waiting;     /* struct cws_tenant: not sent yet */
        struct cws_list running;     /* sent and not gone */
    } loop_only;
};

/* One reference for the caller. */
enum cws_status cws_sandbox_new(struct cws_loop *loop,
                                struct cws_sandbox **out_sandbox) CWS_MUST_CHECK;
void cws_sandbox_ref(struct cws_sandbox *sandbox);
void cws_sandbox_unref(struct cws_sandbox *sandbox); /* NULL is allowed */

/* Known to run under this id: tenants that wait are sent in the order in which they were admitted,
 * later ones at once. Opening an open one replaces channel and id for later tenants; a closed one
 * stays closed. */
enum cws_status cws_sandbox_open(struct cws_sandbox *sandbox, struct cws_channel *channel,
                                 const char *id) CWS_MUST_CHECK;
/* Not known to run, or not any more: tenants that wait end with CWS_EVICTION_NOT_OPEN, later ones
 * wait again. Those that run are left alone. */
enum cws_status cws_sandbox_fail(struct cws_sandbox *sandbox) CWS_MUST_CHECK;
/* Stopped: tenants that wait or run end with CWS_EVICTION_CLOSED, later ones at once. */
enum cws_status cws_sandbox_close(struct cws_sandbox *sandbox) CWS_MUST_CHECK;

/* Loop thread: lets the tenant wait, sends it or ends it, as the sandbox's state says. The tenant
 * may be gone when this returns. */
void cws_sandbox_admit(struct cws_sandbox *sandbox, struct cws_tenant *tenant);
