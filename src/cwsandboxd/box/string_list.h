/*
 * An argv or an environment. The struct is the caller's memory. A list built with these functions
 * owns its strings.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"

struct cwsd_string_list {
    char **items; /* NULL-terminated */
    size_t count;
};

/* Frees the strings; the list is empty afterwards. An all-zero list is empty too. */
void cwsd_string_list_done(struct cwsd_string_list *list);

/* Makes room for `count` strings in an empty list. CWS_NO_MEMORY. */
enum cws_status cwsd_string_list_reserve(struct cwsd_string_list *list,
                                         size_t count) CWS_MUST_CHECK;

/* Append a copy of `text`, or "name=value", within the reserved room. CWS_NO_MEMORY. */
enum cws_status cwsd_string_list_add(struct cwsd_string_list *list,
                                     const char *text) CWS_MUST_CHECK;
enum cws_status cwsd_string_list_add_pair(struct cwsd_string_list *list, const char *name,
                                          const char *value) CWS_MUST_CHECK;
