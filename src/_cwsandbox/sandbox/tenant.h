/*
 * A tenant of a sandbox: what waits for the sandbox to run, is sent to it and ends with it. A
 * command is one; a stream of logs or a terminal would be others.
 *
 *   cws_sandbox_admit → waiting → sent → gone
 *
 * Embedded in an operation. All of it belongs to the loop thread.
 */
#pragma once

#include "base/list.h"

/* Why the sandbox ends a tenant. */
enum cws_eviction {
    CWS_EVICTION_NOT_OPEN, /* the sandbox could not be started; the tenant was not sent */
    CWS_EVICTION_CLOSED,   /* the sandbox was stopped */
};

struct cws_tenant;

/* What a tenant is told, each at most once. It may leave, and free itself, inside of either. */
struct cws_tenant_kind {
    /* The sandbox is open: its `id` and `channel` are for the tenant's request. */
    void (*send)(struct cws_tenant *tenant);
    /* The tenant is on no list any more and is not told anything again. */
    void (*end)(struct cws_tenant *tenant, enum cws_eviction why);
};

/* The sandbox does not own its tenants. Each holds a reference on the sandbox, and stays alive
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

/* It has come to an end by itself. Harmless when it has left, was ended, or was never admitted. */
static inline void cws_tenant_leave(struct cws_tenant *tenant)
{
    cws_list_remove(&tenant->node);
}
