/* The addresses of this host, as its table of local routes has them. */
#pragma once

#include "values/egress_rules.h"

/* Includes ranges all of which are this host's, and broadcast addresses; leaves out 127.0.0.0/8. In
 * place of the addresses of sandboxes' devices it has the whole range of their daemon. *out_ranges
 * is to be freed with cws_free, also where *out_count is 0; on failure there is nothing to free.
 * CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_egress_own_list(struct cwsd_egress_range **out_ranges, size_t *out_count,
                                     struct cws_error *err) CWS_MUST_CHECK;

/* A descriptor that becomes readable when that table changes; non-inheritable, non-blocking.
 * -1 with errno set. */
int cwsd_egress_own_watch(void);
/* Reads what has come there. False: nothing that is about such routes. */
bool cwsd_egress_own_changed(int fd);
