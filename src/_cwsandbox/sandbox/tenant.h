/*
 * A tenant of a sandbox waits for the sandbox to run, is sent to it, and ends with it. Tenants are
 * commands, with a terminal or without, file operations, and logs.
 *
 *   cws_sandbox_admit → waiting → sent → gone
 *
 * Embedded in an operation. Loop thread only.
 */
#pragma once

#include "base/list.h"

/* Why the sandbox ends a tenant. */
enum cws_eviction {
    CWS_EVICTION_NOT_OPEN, /* the sandbox could not be started; the tenant was not sent */
    CWS_EVICTION_CLOSED,   /* the sandbox was stopped */
};

struct cws_tenant;

/* A tenant's events, each called at most once. The tenant may leave, and free itself, inside
 * either. */
struct cws_tenant_kind {
    /* The sandbox is open: send the request, with the sandbox's `id` and `channel`. */
    void (*send)(struct cws_tenant *tenant);
    /* The sandbox ends the tenant. The tenant is off its list and gets no more events. */
    void (*end)(struct cws_tenant *tenant, enum cws_eviction why);
};

/* The sandbox does not own its tenants. Each holds a reference to the sandbox, and must stay alive
 * until it has left or was ended. */
struct cws_tenant {
    const struct cws_tenant_kind *kind;
    struct cws_list node; /* in the sandbox's list */
};

static inline void cws_tenant_init(struct cws_tenant *tenant, const struct cws_tenant_kind *kind)
{
    tenant->kind = kind;
    cws_list_init(&tenant->node);
}

/* The tenant has ended by itself. Harmless if it has left already, was ended, or was never
 * admitted. */
static inline void cws_tenant_leave(struct cws_tenant *tenant)
{
    cws_list_remove(&tenant->node);
}
