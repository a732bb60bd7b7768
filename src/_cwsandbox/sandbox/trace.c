#include "sandbox/trace.h"

#include "base/alloc.h"
#include "base/clock.h"

struct cws_trace *cws_trace_new(struct cws_queue *queue, void *owner)
{
    struct cws_trace *trace = cws_calloc(1, sizeof(*trace));
    if (!trace)
        return NULL;
    cws_ref_init(&trace->ref);
    cws_list_init(&trace->node);
    cws_metadata_init(&trace->metadata);
    cws_queue_ref(queue);
    trace->queue = queue;
    trace->owner = owner;
    return trace;
}

void cws_trace_ref(struct cws_trace *trace)
{
    cws_ref_get(&trace->ref);
}

void cws_trace_unref(struct cws_trace *trace)
{
    if (!trace || !cws_ref_put(&trace->ref))
        return;
    cws_queue_unref(trace->queue);
    cws_metadata_done(&trace->metadata);
    cws_free(trace->end.text);
    cws_free(trace->end.reason);
    cws_free(trace);
}

enum cws_status cws_trace_add(struct cws_trace *trace, const char *name, size_t name_len,
                              const char *value, size_t value_len, struct cws_error *err)
{
    if (trace->metadata.count == CWS_CALL_MAX_FIELDS ||
        trace->metadata.size + name_len + value_len > CWS_TRACE_MAX_SIZE)
        return cws_error_set(
            err, CWS_INVALID, "'%.*s' is too much for one call: it may have %d fields and %d bytes",
            (int)(name_len < 100 ? name_len : 100), name, CWS_CALL_MAX_FIELDS, CWS_TRACE_MAX_SIZE);
    return cws_metadata_add(&trace->metadata, name, name_len, value, value_len, err);
}

void cws_trace_sent(struct cws_trace *trace)
{
    if (trace && !trace->end.sent_ns)
        trace->end.sent_ns = cws_clock_wall_ns();
}

void cws_trace_end(struct cws_trace *trace, const struct cws_trace_end *end)
{
    if (atomic_exchange(&trace->has_ended, true))
        return;
    uint64_t sent_ns = trace->end.sent_ns;
    trace->end = *end;
    trace->end.text = end->text && *end->text ? cws_strdup(end->text) : NULL;
    trace->end.reason = end->reason ? cws_strdup(end->reason) : NULL;
    trace->end.sent_ns = sent_ns;
    trace->end.ended_ns = cws_clock_wall_ns();
    cws_trace_ref(trace); /* the queue's */
    cws_queue_push(trace->queue, &trace->node);
}

struct cws_trace *cws_trace_take(struct cws_queue *queue)
{
    struct cws_list *node = cws_queue_pop(queue, NULL);
    return node ? cws_list_entry(node, struct cws_trace, node) : NULL;
}
