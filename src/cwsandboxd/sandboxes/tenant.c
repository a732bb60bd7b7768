#include "sandboxes/tenant.h"

#include <stdio.h>
#include <string.h>

#include "values/spec.h"
#include "values/text.h"

bool cwsd_tenant_set_not_running(const struct cwsd_tenant *tenant, const char *what,
                                 struct cwsd_fault *fault)
{
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING,
                   "sandbox %s %s", tenant->sandbox_id, what);
    cwsd_fault_note(fault, "sandbox_id", tenant->sandbox_id);
    return false;
}

static bool set_ended(const struct cwsd_tenant *tenant, const struct cwsd_record *record,
                      struct cwsd_fault *fault)
{
    char what[sizeof("has ended: ") + sizeof(record->reason)];
    snprintf(what, sizeof(what), "has ended%s%s", record->reason[0] ? ": " : "", record->reason);
    return cwsd_tenant_set_not_running(tenant, what, fault);
}

struct cwsd_sandbox *cwsd_tenant_find(struct cwsd_pool *pool, const char *sandbox_id,
                                      const char *container, struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox = cwsd_pool_find(pool, sandbox_id, fault);
    if (!sandbox)
        return NULL;
    const char *primary = cwsd_spec_container_name(sandbox->record.spec);
    if (container[0] == '\0' || strcmp(container, primary) == 0 || strcmp(container, "main") == 0)
        return sandbox;
    cwsd_fault_set_invalid(fault, "container",
                           "\"%s\" is not in sandbox %s; its one container is %s",
                           cwsd_text_short(container).text, sandbox->record.id, primary);
    return NULL;
}

/* The sandbox has left CREATING. */
static void settled(struct cwsd_waiter *waiter)
{
    struct cwsd_tenant *tenant = cws_container_of(waiter, struct cwsd_tenant, waiter);
    struct cwsd_sandbox *sandbox = tenant->sandbox;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    tenant->sandbox = NULL;
    if (sandbox->record.state != CWSD_STATE(RUNNING))
        set_ended(tenant, &sandbox->record, &fault);
    else if (tenant->begin(tenant, sandbox->box, &fault))
        return;
    tenant->refused(tenant, &fault);
}

bool cwsd_tenant_enter(struct cwsd_tenant *tenant, struct cwsd_sandbox *sandbox,
                       struct cwsd_fault *fault)
{
    memcpy(tenant->sandbox_id, sandbox->record.id, sizeof(tenant->sandbox_id));
    cws_list_init(&tenant->waiter.node);
    tenant->waiter.settled = settled;
    switch (sandbox->record.state) {
    case CWSD_STATE(RUNNING):
        return tenant->begin(tenant, sandbox->box, fault);
    case CWSD_STATE(CREATING):
        tenant->sandbox = sandbox;
        cwsd_pool_wait(sandbox, &tenant->waiter);
        return true;
    case CWSD_STATE(TERMINATING):
        return cwsd_tenant_set_not_running(tenant, "is ending", fault);
    default:
        return set_ended(tenant, &sandbox->record, fault);
    }
}

void cwsd_tenant_leave(struct cwsd_tenant *tenant)
{
    if (tenant->sandbox)
        cws_list_remove(&tenant->waiter.node);
    tenant->sandbox = NULL;
}
