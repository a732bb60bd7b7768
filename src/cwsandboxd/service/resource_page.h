/* Pages of a list of resources: their size, and the tokens that lead from one to the next. Values
 * only. */
#pragma once

#include "values/fault.h"

#define CWSD_RESOURCE_TOKEN_SIZE 40

struct cwsd_resource_page {
    size_t size;
    int64_t after; /* the number of the last one of the page before; 0: none */
    uint64_t filters;
};

/* `filters` is a fingerprint of what the list is about: a token belongs to it. False with *fault
 * INVALID_ARGUMENT. */
bool cwsd_resource_page_init(struct cwsd_resource_page *page, int32_t size, const char *token,
                             uint64_t filters, struct cwsd_fault *fault);
/* The token for the page behind number `last`. */
void cwsd_resource_page_token(const struct cwsd_resource_page *page, int64_t last,
                              char out_token[CWSD_RESOURCE_TOKEN_SIZE]);
