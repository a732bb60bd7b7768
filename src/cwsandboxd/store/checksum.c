#include "store/checksum.h"

#include <string.h>

#define LANES 4

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

uint32_t cwsd_checksum(const void *bytes, size_t len, uint64_t key)
{
    uint64_t lanes[LANES] = {key, key + 1, key + 2, key + 3}, words[LANES];
    const uint8_t *at = bytes, *end = at + len;
    assert(len % sizeof(words[0]) == 0);
    /* A multiplication waits for the one before it in its lane alone. */
    for (; (size_t)(end - at) >= sizeof(words); at += sizeof(words)) {
        memcpy(words, at, sizeof(words));
        for (size_t i = 0; i < LANES; i++)
            lanes[i] = mix(lanes[i], words[i]);
    }
    for (; at < end; at += sizeof(words[0])) {
        memcpy(words, at, sizeof(words[0]));
        lanes[0] = mix(lanes[0], words[0]);
    }
    for (size_t i = 1; i < LANES; i++)
        lanes[0] = mix(lanes[0], lanes[i]);
    return (uint32_t)(mix(lanes[0], len) >> 32);
}
