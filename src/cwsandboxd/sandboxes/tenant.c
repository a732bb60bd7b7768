#include "sandboxes/tenant.h"

#include <stdio.h>
#include <string.h>

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

/* The names for a message: `"web", "db"`, as many as fit. */
static void list_names(const struct cwsd_sandbox *sandbox, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sandbox->container_count && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s\"%s\"", i ? ", " : "",
                                sandbox->containers[i].name);
}

struct cwsd_container *cwsd_tenant_find(struct cwsd_pool *pool, const char *sandbox_id,
                                        const char *container, struct cwsd_fault *fault)
{
    char names[200];
    struct cwsd_sandbox *sandbox = cwsd_pool_find(pool, sandbox_id, fault);
    if (!sandbox)
        return NULL;
    if (container[0] == '\0')
        return sandbox->primary;
    for (size_t i = 0; i < sandbox->container_count; i++)
        if (strcmp(container, sandbox->containers[i].name) == 0)
            return &sandbox->containers[i];
    /* What clients that know of one container call it. */
    if (sandbox->container_count == 1 && strcmp(container, "main") == 0)
        return sandbox->primary;
    list_names(sandbox, names, sizeof(names));
    cwsd_fault_set_invalid(fault, "container", "\"%s\" is not in sandbox %s, which has %s",
                           cwsd_text_short(container).text, sandbox->record.id, names);
    return NULL;
}

/* The sandbox runs. */
static bool begin(struct cwsd_tenant *tenant, const struct cwsd_container *container,
                  struct cwsd_fault *fault)
{
    char what[160];
    if (container->row->state == CWSD_STATE(RUNNING))
        return tenant->begin(tenant, container->box, fault);
    if (container->row->has_exit_code)
        snprintf(what, sizeof(what), "runs, but its container \"%s\" has ended with exit code %d",
                 container->name, (int)container->row->exit_code);
    else
        snprintf(what, sizeof(what), "runs, but its container \"%s\" is ending", container->name);
    cwsd_tenant_set_not_running(tenant, what, fault);
    cwsd_fault_note(fault, "container", container->name);
    return false;
}

/* The sandbox has left CREATING. */
static void settled(struct cwsd_waiter *waiter)
{
    struct cwsd_tenant *tenant = cws_container_of(waiter, struct cwsd_tenant, waiter);
    const struct cwsd_container *container = tenant->container;
    const struct cwsd_record *record = &container->sandbox->record;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    tenant->container = NULL;
    if (record->state != CWSD_STATE(RUNNING))
        set_ended(tenant, record, &fault);
    else if (begin(tenant, container, &fault))
        return;
    tenant->refused(tenant, &fault);
}

bool cwsd_tenant_enter(struct cwsd_tenant *tenant, struct cwsd_container *container,
                       struct cwsd_fault *fault)
{
    const struct cwsd_record *record = &container->sandbox->record;
    memcpy(tenant->sandbox_id, record->id, sizeof(tenant->sandbox_id));
    cws_list_init(&tenant->waiter.node);
    tenant->waiter.settled = settled;
    switch (record->state) {
    case CWSD_STATE(RUNNING):
        return begin(tenant, container, fault);
    case CWSD_STATE(CREATING):
        tenant->container = container;
        cwsd_pool_wait(container->sandbox, &tenant->waiter);
        return true;
    case CWSD_STATE(TERMINATING):
        return cwsd_tenant_set_not_running(tenant, "is ending", fault);
    default:
        return set_ended(tenant, record, fault);
    }
}

void cwsd_tenant_leave(struct cwsd_tenant *tenant)
{
    if (tenant->container)
        cws_list_remove(&tenant->waiter.node);
    tenant->container = NULL;
}
