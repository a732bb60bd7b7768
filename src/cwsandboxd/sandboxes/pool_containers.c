#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "sandboxes/pool_private.h"
#include "values/spec_containers.h"

/* The log of the only or first container has the sandbox's name. */
static char *make_log_path(const struct cwsd_pool *pool, const char *id, size_t at)
{
    size_t size = strlen(pool->options.log_dir) + sizeof("/log-.00") + CWSD_ID_SIZE;
    char *path = cws_malloc(size);
    if (path && at == 0)
        snprintf(path, size, "%s/log-%s", pool->options.log_dir, id);
    else if (path)
        snprintf(path, size, "%s/log-%s.%u", pool->options.log_dir, id, (unsigned)at % 100);
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
