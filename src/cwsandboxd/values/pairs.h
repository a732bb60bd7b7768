/*
 * A map<string, string> field of any message. protobuf-c generates a separate type for each such
 * field, all with the same layout. Points into the message's memory.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

struct cwsd_pairs {
    void **entries; /* of a generated ...Entry type */
    size_t count;
};

#define CWSD_PAIRS(message, field) \
    ((struct cwsd_pairs){(void **)(message)->field, (message)->n_##field})

const char *cwsd_pairs_key(const struct cwsd_pairs *pairs, size_t i);
const char *cwsd_pairs_value(const struct cwsd_pairs *pairs, size_t i);

/* Sorts the message's entries by key, in place, so that equal maps become equal messages. Returns
 * NULL, or a key that occurs twice. */
const char *cwsd_pairs_sort(struct cwsd_pairs *pairs);
