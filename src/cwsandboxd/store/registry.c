#include "store/registry.h"

#include <string.h>

#include "values/bounds.h"
#include "values/spec_volumes.h"

static void forget(struct cwsd_registry *registry, struct cwsd_record *record)
{
    cwsd_index_remove(&registry->by_id, &record->by_id);
    if (record->request_id)
        cwsd_index_remove(&registry->by_request, &record->by_request);
    cws_list_remove(&record->in_all);
    cws_list_remove(&record->in_finished);
}

void cwsd_registry_init(struct cwsd_registry *registry, void (*release)(struct cwsd_record *record))
{
    memset(registry, 0, sizeof(*registry));
    cwsd_index_init(&registry->by_id);
    cwsd_index_init(&registry->by_request);
    cws_list_init(&registry->all);
    cws_list_init(&registry->finished);
    registry->max_finished = CWSD_MAX_FINISHED;
    registry->max_finished_bytes = CWSD_MAX_FINISHED_BYTES;
    registry->release = release;
}

void cwsd_registry_done(struct cwsd_registry *registry)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&registry->all))) {
        struct cwsd_record *record = cws_list_entry(node, struct cwsd_record, in_all);
        forget(registry, record);
        registry->release(record);
    }
    cwsd_index_done(&registry->by_id);
    cwsd_index_done(&registry->by_request);
}

/* Under its id and its request id. */
static enum cws_status enter(struct cwsd_registry *registry, struct cwsd_record *record)
{
    if (cwsd_index_find(&registry->by_id, record->id))
        return CWS_INVALID;
    if (cwsd_index_add(&registry->by_id, &record->by_id, record->id) != CWS_OK)
        return CWS_NO_MEMORY;
    if (record->request_id &&
        cwsd_index_add(&registry->by_request, &record->by_request, record->request_id) != CWS_OK) {
        cwsd_index_remove(&registry->by_id, &record->by_id);
        return CWS_NO_MEMORY;
    }
    registry->live++;
    return CWS_OK;
}

enum cws_status cwsd_registry_add(struct cwsd_registry *registry, struct cwsd_record *record)
{
    enum cws_status status = enter(registry, record);
    if (status != CWS_OK)
        return status;
    record->sequence = ++registry->last_sequence;
    cws_list_push_back(&registry->all, &record->in_all);
    return CWS_OK;
}

enum cws_status cwsd_registry_restore(struct cwsd_registry *registry, struct cwsd_record *record)
{
    struct cws_list *after = registry->all.prev;
    enum cws_status status = enter(registry, record);
    if (status != CWS_OK)
        return status;
    while (after != &registry->all &&
           cws_list_entry(after, struct cwsd_record, in_all)->sequence > record->sequence)
        after = after->prev;
    cws_list_push_front(after, &record->in_all); /* right behind it */
    if (record->sequence > registry->last_sequence)
        registry->last_sequence = record->sequence;
    return CWS_OK;
}

void cwsd_registry_finish(struct cwsd_registry *registry, struct cwsd_record *record)
{
    registry->live--;
    registry->finished_count++;
    registry->finished_bytes += record->spec_bytes;
    cws_list_push_back(&registry->finished, &record->in_finished);
    while (registry->finished_count > registry->max_finished ||
           registry->finished_bytes > registry->max_finished_bytes) {
        struct cws_list *node = cws_list_pop_front(&registry->finished);
        struct cwsd_record *oldest = cws_list_entry(node, struct cwsd_record, in_finished);
        registry->finished_count--;
        registry->finished_bytes -= oldest->spec_bytes;
        forget(registry, oldest);
        registry->release(oldest);
    }
}

void cwsd_registry_remove(struct cwsd_registry *registry, struct cwsd_record *record)
{
    registry->live--;
    forget(registry, record);
}

struct cwsd_record *cwsd_registry_find(const struct cwsd_registry *registry, const char *id)
{
    struct cwsd_index_node *node = cwsd_index_find(&registry->by_id, id);
    return node ? cws_container_of(node, struct cwsd_record, by_id) : NULL;
}

struct cwsd_record *cwsd_registry_find_request(const struct cwsd_registry *registry,
                                               const char *request_id)
{
    struct cwsd_index_node *node = cwsd_index_find(&registry->by_request, request_id);
    return node ? cws_container_of(node, struct cwsd_record, by_request) : NULL;
}

size_t cwsd_registry_count_attached(const struct cwsd_registry *registry, const char *volume_id)
{
    size_t count = 0;
    for (struct cws_list *node = registry->all.next; node != &registry->all; node = node->next) {
        const struct cwsd_record *record = cws_list_entry(node, struct cwsd_record, in_all);
        count += !cwsd_record_is_finished(record) && cwsd_spec_attaches(record->spec, volume_id);
    }
    return count;
}
