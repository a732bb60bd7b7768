#include "values/pairs.h"

#include <string.h>

static const char *entry_string(const void *entry, unsigned field)
{
    const ProtobufCMessage *message = entry;
    const char *string;
    memcpy(&string, (const char *)entry + message->descriptor->fields[field].offset,
           sizeof(string));
    return string;
}

const char *cwsd_pairs_key(const struct cwsd_pairs *pairs, size_t i)
{
    return entry_string(pairs->entries[i], 0);
}

const char *cwsd_pairs_value(const struct cwsd_pairs *pairs, size_t i)
{
    return entry_string(pairs->entries[i], 1);
}

static int compare_keys(const void *a, const void *b)
{
    const void *first, *second;
    memcpy(&first, a, sizeof(first));
    memcpy(&second, b, sizeof(second));
    return strcmp(entry_string(first, 0), entry_string(second, 0));
}

const char *cwsd_pairs_sort(struct cwsd_pairs *pairs)
{
    if (pairs->count < 2)
        return NULL;
    qsort(pairs->entries, pairs->count, sizeof(*pairs->entries), compare_keys);
    for (size_t i = 1; i < pairs->count; i++)
        if (strcmp(cwsd_pairs_key(pairs, i - 1), cwsd_pairs_key(pairs, i)) == 0)
            return cwsd_pairs_key(pairs, i);
    return NULL;
}
