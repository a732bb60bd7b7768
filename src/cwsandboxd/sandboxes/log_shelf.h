/*
 * The logs of containers whose sandboxes have ended. They are kept as far as they take no more than
 * so many full ones; those that ended first go first. Loop thread only.
 */
#pragma once

#include "sandboxes/log.h"

struct cwsd_log_shelf {
    struct cws_list places; /* of cwsd_shelf_place.node, by end */
    uint64_t bytes;         /* of their files */
    uint64_t log_bytes;     /* of a full one */
};

/* Embedded beside the log. */
struct cwsd_shelf_place {
    struct cws_list node; /* call cws_list_init first */
    struct cwsd_log *log;
    uint64_t bytes; /* that it counts for */
};

void cwsd_log_shelf_init(struct cwsd_log_shelf *shelf, uint64_t log_bytes);
/* The log has ended, and stays until it is removed or there is no more room. */
void cwsd_log_shelf_add(struct cwsd_log_shelf *shelf, struct cwsd_shelf_place *place);
/* Harmless if it is not there. */
void cwsd_log_shelf_remove(struct cwsd_log_shelf *shelf, struct cwsd_shelf_place *place);
/* Forgets what the oldest one holds. */
void cwsd_log_shelf_drop_oldest(struct cwsd_log_shelf *shelf);
