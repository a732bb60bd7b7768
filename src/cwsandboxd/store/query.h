/*
 * ListSandboxes: which records, in which order, starting where. Values only. The request is not
 * copied and must outlive the query.
 */
#pragma once

#include "store/registry.h"
#include "values/fault.h"
#include "values/page.h"

struct cwsd_query {
    const cwsd_pb_list_request *request;
    const char *runner_id; /* that of every sandbox here */
    struct cwsd_page page; /* its numbers are the records' sequence numbers */
    bool descending;
};

/* False with *fault INVALID_ARGUMENT for a bad size, state, direction or token. */
bool cwsd_query_init(struct cwsd_query *query, const cwsd_pb_list_request *request,
                     const char *runner_id, struct cwsd_fault *fault);

/* The next record that matches, after `previous` (NULL: the page's first); NULL at the end. */
struct cwsd_record *cwsd_query_next(const struct cwsd_query *query,
                                    const struct cwsd_registry *registry,
                                    const struct cwsd_record *previous);

/* The token for the page after `last`. */
void cwsd_query_token(const struct cwsd_query *query, const struct cwsd_record *last,
                      char out_token[CWSD_PAGE_TOKEN_SIZE]);
