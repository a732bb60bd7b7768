/*
 * A page of a list of resources: their messages, and the token of the page behind them. Loop thread
 * only.
 */
#pragma once

#include "store/resources.h"
#include "values/page.h"

/* Which resources a list is about. */
struct cwsd_resource_filter {
    enum cwsd_resource_kind kind;
    bool with_deleted;
    /* NULL: all of the kind. */
    bool (*matches)(const void *message, const void *request);
    const void *request; /* passed to `matches` */
};

struct cwsd_resource_page {
    void **messages;
    size_t count;
    char next_token[CWSD_PAGE_TOKEN_SIZE]; /* "": it is the last page */
};

/* Reads the page that `wanted` asks for; fewer messages if they are large (CWSD_MAX_PAGE_BYTES).
 * False with *fault set: the database or memory fails. To be freed with cwsd_resource_page_done,
 * also then. */
bool cwsd_resource_page_read(struct cwsd_database *database,
                             const struct cwsd_resource_filter *filter,
                             const struct cwsd_page *wanted, struct cwsd_resource_page *out,
                             struct cwsd_fault *fault);
/* Harmless on an all-zero struct. */
void cwsd_resource_page_done(struct cwsd_resource_page *page);
