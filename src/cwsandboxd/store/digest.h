/* A fingerprint of a message. It tells a repeated request from a different one with the same
 * key. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

/* 128 bits, not cryptographic: whoever makes two of their own requests collide only deceives
 * themselves. */
struct cwsd_digest {
    uint64_t half[2];
};

struct cwsd_digest cwsd_digest_of(const ProtobufCMessage *message);

static inline bool cwsd_digest_equal(struct cwsd_digest a, struct cwsd_digest b)
{
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}
