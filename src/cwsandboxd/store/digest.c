#include "store/digest.h"

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME  0x100000001b3ull
#define MIX_START  0x9e3779b97f4a7c15ull
#define MIX_FACTOR 0xff51afd7ed558ccdull

/* protobuf-c packs into it piece by piece, so that no packed copy of a large request is needed. */
struct sink {
    ProtobufCBuffer base;
    struct cwsd_digest digest;
};

static void append(ProtobufCBuffer *buffer, size_t len, const uint8_t *data)
{
    struct sink *sink = cws_container_of(buffer, struct sink, base);
    uint64_t fnv = sink->digest.half[0], mix = sink->digest.half[1];
    for (size_t i = 0; i < len; i++) {
        fnv = (fnv ^ data[i]) * FNV_PRIME;
        mix = ((mix << 7 | mix >> 57) ^ data[i]) * MIX_FACTOR;
    }
    sink->digest.half[0] = fnv;
    sink->digest.half[1] = mix;
}

struct cwsd_digest cwsd_digest_of(const ProtobufCMessage *message)
{
    struct sink sink = {{append}, {{FNV_OFFSET, MIX_START}}};
    protobuf_c_message_pack_to_buffer(message, &sink.base);
    return sink.digest;
}
