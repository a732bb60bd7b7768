#include "store/index.h"

#include <string.h>

#include "base/alloc.h"

#define FIRST_BUCKETS 64

static uint64_t hash_of(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a; the keys are ours or an authorised client's */
    for (; *key; key++)
        hash = (hash ^ (uint8_t)*key) * 0x100000001b3ull;
    return hash ^ hash >> 32;
}

static void put(struct cwsd_index_node **buckets, size_t bucket_count, struct cwsd_index_node *node)
{
    struct cwsd_index_node **bucket = &buckets[node->hash & (bucket_count - 1)];
    node->next = *bucket;
    *bucket = node;
}

static enum cws_status grow(struct cwsd_index *index)
{
    size_t bucket_count = index->bucket_count ? index->bucket_count * 2 : FIRST_BUCKETS;
    struct cwsd_index_node **buckets = cws_calloc(bucket_count, sizeof(struct cwsd_index_node *));
    if (!buckets)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < index->bucket_count; i++) {
        struct cwsd_index_node *node = index->buckets[i];
        while (node) {
            struct cwsd_index_node *next = node->next;
            put(buckets, bucket_count, node);
            node = next;
        }
    }
    cws_free(index->buckets);
    index->buckets = buckets;
    index->bucket_count = bucket_count;
    return CWS_OK;
}

void cwsd_index_init(struct cwsd_index *index)
{
    memset(index, 0, sizeof(*index));
}

void cwsd_index_done(struct cwsd_index *index)
{
    cws_free(index->buckets);
    cwsd_index_init(index);
}

enum cws_status cwsd_index_add(struct cwsd_index *index, struct cwsd_index_node *node,
                               const char *key)
{
    if (index->count >= index->bucket_count && grow(index) != CWS_OK)
        return CWS_NO_MEMORY;
    node->key = key;
    node->hash = hash_of(key);
    put(index->buckets, index->bucket_count, node);
    index->count++;
    return CWS_OK;
}

void cwsd_index_remove(struct cwsd_index *index, struct cwsd_index_node *node)
{
    struct cwsd_index_node **at = &index->buckets[node->hash & (index->bucket_count - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    index->count--;
}

struct cwsd_index_node *cwsd_index_find(const struct cwsd_index *index, const char *key)
{
    if (index->bucket_count == 0)
        return NULL;
    uint64_t hash = hash_of(key);
    struct cwsd_index_node *node = index->buckets[hash & (index->bucket_count - 1)];
    while (node && (node->hash != hash || strcmp(node->key, key) != 0))
        node = node->next;
    return node;
}
