/*
 * A page of a list: its size, and where it begins. Values only.
 *
 * A page token holds the number of the last item of the page before, and a fingerprint of what the
 * list is about. So pages stay stable while items come and go, and a token cannot be used with
 * other filters.
 */
#pragma once

#include "values/fault.h"

#define CWSD_PAGE_TOKEN_SIZE 40

struct cwsd_page {
    size_t size;
    uint64_t after; /* the number of the last item of the page before; 0: from the start */
    uint64_t filters;
};

/* Sets the size that a request asks for; 0: the default. False with *fault INVALID_ARGUMENT. */
bool cwsd_page_set_size(struct cwsd_page *page, int32_t size, struct cwsd_fault *fault);
/* Sets where the page begins; an empty token: at the start. `filters` is the fingerprint. False
 * with *fault INVALID_ARGUMENT. */
bool cwsd_page_set_token(struct cwsd_page *page, const char *token, uint64_t filters,
                         struct cwsd_fault *fault);
/* The token for the page behind number `last`. */
void cwsd_page_token(const struct cwsd_page *page, uint64_t last,
                     char out_token[CWSD_PAGE_TOKEN_SIZE]);
