/*
 * ListSandboxes: which records, in which order, starting where. Values only. The request is not
 * copied and must outlive the query.
 *
 * A page token holds the sequence number of the last record returned and a fingerprint of the
 * filters. So pages stay stable while sandboxes come and go, and a token cannot be used with other
 * filters.
 */
#pragma once

#include "store/registry.h"
#include "values/fault.h"

struct cwsd_query {
    const cwsd_pb_list_request *request;
    const char *runner_id; /* that of every sandbox here */
    size_t page_size;
    uint64_t after; /* a sequence number; 0: from the start */
    bool descending;
};

#define CWSD_PAGE_TOKEN_SIZE 40

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
