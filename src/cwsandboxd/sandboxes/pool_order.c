/* Sandboxes whose containers start one after the other, as a plan says. */
#include <stdio.h>

#include "base/alloc.h"
#include "sandboxes/pool_private.h"

static size_t index_of(const struct cwsd_container *container)
{
    return (size_t)(container - container->sandbox->containers);
}

static bool is_met(const struct cwsd_sandbox *sandbox, enum cwsd_need need, size_t at)
{
    const struct cwsd_row *row = &sandbox->record.rows[at];
    switch (need) {
    case CWSD_NEED_HEALTHY:
        return sandbox->health[at].healthy;
    case CWSD_NEED_SUCCESS:
        return row->has_exit_code && row->exit_code == 0;
    default:
        return row->state != CWSD_STATE(CREATING);
    }
}

static bool may_start(const struct cwsd_sandbox *sandbox, size_t at)
{
    for (unsigned need = 0; need < CWSD_NEEDS; need++)
        for (size_t i = 0; i < sandbox->container_count; i++)
            if (sandbox->plan->rows[at].needs[need] & 1u << i && !is_met(sandbox, need, i))
                return false;
    return true;
}

static bool is_ending(const struct cwsd_sandbox *sandbox)
{
    return sandbox->broken || sandbox->record.state != CWSD_STATE(CREATING);
}

static void skip_held(struct cwsd_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->container_count; i++) {
        struct cwsd_container *container = &sandbox->containers[i];
        if (!container->held)
            continue;
        container->held = false;
        cwsd_row_stopping(container->row);
        sandbox->living--;
        cwsd_container_skip(container);
    }
}

void cwsd_pool_go_on(struct cwsd_sandbox *sandbox)
{
    if (!sandbox->plan)
        return;
    for (size_t i = 0; i < sandbox->container_count && !is_ending(sandbox); i++) {
        struct cwsd_container *container = &sandbox->containers[i];
        struct cwsd_fault why = {.code = CWS_GRPC_OK};
        if (!container->held || !may_start(sandbox, i))
            continue;
        container->held = false;
        if (!cwsd_pool_start_container(sandbox, i, &why))
            cwsd_pool_give_up(container, &why);
    }
    if (is_ending(sandbox))
        skip_held(sandbox);
}

/* ---- health --------------------------------------------------------------------------------- */

static void on_passed(struct cwsd_health *health)
{
    struct cwsd_container *container = health->ctx;
    cwsd_pool_count_ready(container->sandbox);
    cwsd_pool_go_on(container->sandbox);
}

static void on_failed(struct cwsd_health *health, const char *why)
{
    struct cwsd_container *container = health->ctx;
    cwsd_pool_break(container, why);
    cwsd_container_stop(container, 0);
}

bool cwsd_pool_is_ready(struct cwsd_container *container)
{
    const struct cwsd_sandbox *sandbox = container->sandbox;
    size_t at = index_of(container);
    if (!sandbox->plan || !sandbox->plan->rows[at].check)
        return true;
    cwsd_health_begin(&sandbox->health[at], container->box);
    return false;
}

/* Whether a container that waits needs this one's success. */
static bool is_awaited(const struct cwsd_sandbox *sandbox, size_t at)
{
    for (size_t i = 0; i < sandbox->container_count; i++)
        if (sandbox->containers[i].held &&
            sandbox->plan->rows[i].needs[CWSD_NEED_SUCCESS] & 1u << at)
            return true;
    return false;
}

void cwsd_pool_note_end(struct cwsd_container *container)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    const struct cwsd_row *row = container->row;
    char why[100];
    if (!sandbox->plan)
        return;
    size_t at = index_of(container);
    bool unhealthy = sandbox->health[at].box != NULL;
    cwsd_health_end(&sandbox->health[at]);
    snprintf(why, sizeof(why), "ended with exit code %d before it was healthy",
             (int)row->exit_code);
    if (!unhealthy && row->has_exit_code && row->exit_code != 0 && is_awaited(sandbox, at))
        snprintf(why, sizeof(why), "ended with exit code %d, and others need its success",
                 (int)row->exit_code);
    else if (!unhealthy)
        why[0] = '\0';
    if (why[0] && !is_ending(sandbox))
        cwsd_pool_break(container, why);
    cwsd_pool_go_on(sandbox);
}

/* ---- the beginning -------------------------------------------------------------------------- */

bool cwsd_pool_start_planned(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    size_t first = 0;
    sandbox->health = cws_calloc(sandbox->container_count, sizeof(*sandbox->health));
    if (!sandbox->health)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < sandbox->container_count; i++) {
        sandbox->containers[i].held = true;
        sandbox->health[i].plan = &sandbox->plan->rows[i];
        sandbox->health[i].loop = sandbox->pool->options.loop;
        sandbox->health[i].ctx = &sandbox->containers[i];
        sandbox->health[i].passed = on_passed;
        sandbox->health[i].failed = on_failed;
    }
    while (!may_start(sandbox, first))
        first++; /* there is no circle */
    sandbox->containers[first].held = false;
    if (!cwsd_pool_start_container(sandbox, first, fault))
        return false;
    cwsd_pool_go_on(sandbox);
    return true;
}
