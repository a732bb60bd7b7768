/* Merges environments. Any thread. */
#pragma once

#include "box/string_list.h"

/* The variables of `base` and `extra`, sorted by name. If a name occurs more than once, the last
 * value wins. The array, which ends with NULL, is the caller's, to be freed with cws_free; its
 * strings still belong to the lists. CWS_NO_MEMORY. */
enum cws_status cwsd_environment_merge(const struct cwsd_string_list *base,
                                       const struct cwsd_string_list *extra, char ***out_items,
                                       size_t *out_count) CWS_MUST_CHECK;
