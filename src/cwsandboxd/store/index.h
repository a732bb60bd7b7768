/* An intrusive hash table with string keys. Not thread-safe. */
#pragma once

#include "base/status.h"

struct cwsd_index_node {
    struct cwsd_index_node *next;
    const char *key; /* memory of the struct that embeds the node */
    uint64_t hash;
};

struct cwsd_index {
    struct cwsd_index_node **buckets;
    size_t bucket_count; /* 0 or a power of two */
    size_t count;
};

void cwsd_index_init(struct cwsd_index *index);
void cwsd_index_done(struct cwsd_index *index); /* frees the table, not the nodes */

/* `key` must not be in the index yet, and must not change while it is. CWS_NO_MEMORY. */
enum cws_status cwsd_index_add(struct cwsd_index *index, struct cwsd_index_node *node,
                               const char *key) CWS_MUST_CHECK;
/* The node must be in the index. */
void cwsd_index_remove(struct cwsd_index *index, struct cwsd_index_node *node);
struct cwsd_index_node *cwsd_index_find(const struct cwsd_index *index, const char *key);
