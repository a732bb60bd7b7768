#include "store/query.h"

#include <string.h>

#include "values/spec_volumes.h"

#define DESCENDING COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_DESCENDING
#define ASCENDING  COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_ASCENDING

/* A digest of the request without its page: the query that a token belongs to. */
static uint64_t fingerprint(const cwsd_pb_list_request *request)
{
    cwsd_pb_list_request question = *request;
    question.page_size = 0;
    question.page_token = (char *)protobuf_c_empty_string;
    return cwsd_digest_of(&question.base).half[0];
}

bool cwsd_query_init(struct cwsd_query *query, const cwsd_pb_list_request *request,
                     const char *runner_id, struct cwsd_fault *fault)
{
    memset(query, 0, sizeof(*query));
    query->request = request;
    query->runner_id = runner_id;
    if (!cwsd_page_set_size(&query->page, request->page_size, fault))
        return false;
    if (!protobuf_c_enum_descriptor_get_value(&coreweave__sandbox__v1__state__descriptor,
                                              (int)request->state))
        return cwsd_fault_set_invalid(fault, "state", "%d is no state", (int)request->state);
    if (request->sort_direction != 0 && request->sort_direction != DESCENDING &&
        request->sort_direction != ASCENDING)
        return cwsd_fault_set_invalid(fault, "sort_direction", "%d is no direction",
                                      (int)request->sort_direction);
    query->descending = request->sort_direction == DESCENDING;
    return cwsd_page_set_token(&query->page, request->page_token, fingerprint(request), fault);
}

static bool has_tag(const cwsd_pb_spec *spec, const char *tag)
{
    for (size_t i = 0; i < spec->n_tags; i++)
        if (strcmp(spec->tags[i], tag) == 0)
            return true;
    return false;
}

static bool contains(char *const *items, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i], wanted) == 0)
            return true;
    return false;
}

static bool matches(const struct cwsd_query *query, const struct cwsd_record *record)
{
    const cwsd_pb_list_request *request = query->request;
    if (request->state != CWSD_STATE(UNSPECIFIED)) {
        if ((int)request->state != record->state)
            return false; /* a final state asked for shows its rows without show_terminated */
    } else if (cwsd_record_is_finished(record) && !request->show_terminated) {
        return false;
    }
    if (request->n_runner_ids &&
        !contains(request->runner_ids, request->n_runner_ids, query->runner_id))
        return false;
    bool attached = request->n_volume_ids == 0;
    for (size_t i = 0; i < request->n_volume_ids; i++)
        attached |= cwsd_spec_attaches(record->spec, request->volume_ids[i]);
    if (!attached)
        return false;
    for (size_t i = 0; i < request->n_tags; i++)
        if (!has_tag(record->spec, request->tags[i]))
            return false;
    return true;
}

struct cwsd_record *cwsd_query_next(const struct cwsd_query *query,
                                    const struct cwsd_registry *registry,
                                    const struct cwsd_record *previous)
{
    const struct cws_list *node = previous ? &previous->in_all : &registry->all;
    for (;;) {
        node = query->descending ? node->prev : node->next;
        if (node == &registry->all)
            return NULL;
        struct cwsd_record *record = cws_list_entry(node, struct cwsd_record, in_all);
        bool passed =
            query->page.after == 0 || (query->descending ? record->sequence < query->page.after
                                                         : record->sequence > query->page.after);
        if (passed && matches(query, record))
            return record;
    }
}

void cwsd_query_token(const struct cwsd_query *query, const struct cwsd_record *last,
                      char out_token[CWSD_PAGE_TOKEN_SIZE])
{
    cwsd_page_token(&query->page, last->sequence, out_token);
}
