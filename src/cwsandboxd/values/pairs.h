/*
 * A map<string, string> field, whichever message it is in: protobuf-c makes an own, equally shaped
 * type for each. Views the message's memory.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

struct cwsd_pairs {
    void **entries; /* of generated ...Entry types */
    size_t count;
};

#define CWSD_PAIRS(message, field) \
    ((struct cwsd_pairs){(void **)(message)->field, (message)->n_##field})

const char *cwsd_pairs_key(const struct cwsd_pairs *pairs, size_t i);
const char *cwsd_pairs_value(const struct cwsd_pairs *pairs, size_t i);

/* Sorts the message's entries by key, in place, so that equal maps are equal messages. NULL, or
 * a key that is there twice. */
const char *cwsd_pairs_sort(struct cwsd_pairs *pairs);
