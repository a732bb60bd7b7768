#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "sandboxes/pool_private.h"
#include "values/spec_containers.h"
#include "values/spec_network.h"

/* The log of the only or first container has the sandbox's name. cwsd_pool_restore tells them by
 * their names. */
static char *make_log_path(const struct cwsd_pool *pool, const char *id, size_t at)
{
    size_t size = strlen(pool->options.log_dir) + sizeof("/" CWSD_LOG_PREFIX ".00") + CWSD_ID_SIZE;
    char *path = cws_malloc(size);
    if (path && at == 0)
        snprintf(path, size, "%s/" CWSD_LOG_PREFIX "%s", pool->options.log_dir, id);
    else if (path)
        snprintf(path, size, "%s/" CWSD_LOG_PREFIX "%s.%u", pool->options.log_dir, id,
                 (unsigned)at % 100);
    return path;
}

static enum cws_status add_container(struct cwsd_sandbox *sandbox, size_t at,
                                     const struct cwsd_container_events *events)
{
    const struct cwsd_pool *pool = sandbox->pool;
    struct cwsd_record *record = &sandbox->record;
    struct cwsd_container *container = &sandbox->containers[at];
    char *path = make_log_path(pool, record->id, at);
    container->spec = record->spec->containers[at];
    container->name = container->spec->name;
    container->row = &record->rows[at];
    container->events = events;
    container->sandbox = sandbox;
    container->shelf = &sandbox->pool->shelf;
    enum cws_status status = CWS_NO_MEMORY;
    if (path)
        status = cwsd_container_init(container, pool->options.loop, path, pool->options.log_bytes);
    cws_free(path);
    if (status == CWS_OK && pool->options.database)
        cwsd_log_keep(container->log);
    return status;
}

enum cws_status cwsd_pool_add_containers(struct cwsd_sandbox *sandbox,
                                         const struct cwsd_container_events *events)
{
    const cwsd_pb_spec *spec = sandbox->record.spec;
    sandbox->containers = cws_calloc(spec->n_containers, sizeof(*sandbox->containers));
    if (!sandbox->containers)
        return CWS_NO_MEMORY;
    sandbox->container_count = spec->n_containers;
    sandbox->starting = sandbox->living = sandbox->open = spec->n_containers;
    sandbox->primary = &sandbox->containers[cwsd_spec_primary(spec)];
    enum cws_status status = CWS_OK;
    for (size_t i = 0; status == CWS_OK && i < spec->n_containers; i++)
        status = add_container(sandbox, i, events);
    return status;
}

/* It cannot be started, and the others that were have to end. */
void cwsd_pool_give_up(struct cwsd_container *container, const struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    if (sandbox->broken)
        cwsd_row_stopping(container->row);
    cwsd_pool_break(container, fault->message);
    sandbox->living--;
    cwsd_container_skip(container);
}

static void on_egress_lost(void *ctx, const char *why)
{
    struct cwsd_sandbox *sandbox = ctx;
    const struct cwsd_pool_options *pool = &sandbox->pool->options;
    sandbox->record.egress = false;
    pool->on_egress_lost(pool->ctx, sandbox->record.id, why);
}

static bool make_room(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    struct cws_error err;
    const struct cwsd_pool_options *pool = &sandbox->pool->options;
    const cwsd_pb_spec *spec = sandbox->record.spec;
    sandbox->record.egress = pool->egress && cwsd_spec_has_egress(spec);
    if (sandbox->container_count == 1 && !sandbox->record.egress)
        return true;
    const struct cwsd_room_egress way = {.loop = pool->loop,
                                         .egress = pool->egress,
                                         .network = spec->network,
                                         .on_lost = on_egress_lost,
                                         .ctx = sandbox};
    enum cws_status status =
        cwsd_room_new(pool->host, (unsigned)sandbox->container_count, &sandbox->room, &err);
    if (status == CWS_OK && sandbox->record.egress)
        status = cwsd_room_open(sandbox->room, &way, &err);
    if (status == CWS_NO_MEMORY)
        return cwsd_fault_set_memory(fault);
    return status == CWS_OK ||
           cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                          "the sandbox cannot be started: %s", err.text);
}

bool cwsd_pool_start_container(struct cwsd_sandbox *sandbox, size_t at, struct cwsd_fault *fault)
{
    const struct cwsd_pool *pool = sandbox->pool;
    const struct cwsd_container_options options = {
        .loop = pool->options.loop,
        .host = pool->options.host,
        .room = sandbox->room,
        .sandbox_id = sandbox->record.id,
        .spec = sandbox->record.spec,
        .restores = sandbox->restore != NULL,
        .home = at ? sandbox->containers[0].box : NULL,
        .secrets_dir = pool->options.secrets_dir,
        .claims = pool->options.claims,
    };
    return cwsd_container_start(&sandbox->containers[at], &options, fault);
}

void cwsd_pool_start_others(struct cwsd_sandbox *sandbox)
{
    sandbox->others_wait = false;
    for (size_t i = 1; i < sandbox->container_count; i++) {
        struct cwsd_fault why = {.code = CWS_GRPC_OK};
        if (sandbox->broken || !cwsd_pool_start_container(sandbox, i, &why))
            cwsd_pool_give_up(&sandbox->containers[i], &why);
    }
}

void cwsd_pool_skip_others(struct cwsd_sandbox *sandbox)
{
    sandbox->others_wait = false;
    for (size_t i = 1; i < sandbox->container_count; i++) {
        cwsd_row_stopping(sandbox->containers[i].row);
        sandbox->living--;
        cwsd_container_skip(&sandbox->containers[i]);
    }
}

/* Whether a container but the first sees a volume, which only that one can give it. */
static bool is_lent(const cwsd_pb_spec *spec)
{
    for (size_t i = 1; i < spec->n_containers; i++)
        if (spec->containers[i]->n_volume_mounts)
            return true;
    return false;
}

bool cwsd_pool_start_containers(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    if (!make_room(sandbox, fault))
        return false;
    if (sandbox->plan)
        return cwsd_pool_start_planned(sandbox, fault);
    if (!cwsd_pool_start_container(sandbox, 0, fault))
        return false;
    sandbox->others_wait = is_lent(sandbox->record.spec);
    if (!sandbox->others_wait)
        cwsd_pool_start_others(sandbox);
    return true;
}
