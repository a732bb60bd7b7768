/* Environments put together. */
#pragma once

#include "box/string_list.h"

/* The variables of `base` and `extra`, each name once, the later one winning; in order of their
 * names. The array (NULL at its end) is the caller's, to be freed with cws_free; the strings are
 * still the lists'. CWS_NO_MEMORY. */
enum cws_status cwsd_environment_merge(const struct cwsd_string_list *base,
                                       const struct cwsd_string_list *extra, char ***out_items,
                                       size_t *out_count) CWS_MUST_CHECK;
