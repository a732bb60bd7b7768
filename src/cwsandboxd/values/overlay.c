#include "values/overlay.h"

#include <string.h>

#include "base/alloc.h"
#include "values/wire.h"

/* A packed message. */
struct packed {
    uint8_t *data;
    size_t len;
};

static bool pack(const cwsd_pb_partial_spec *spec, struct packed *out, size_t room)
{
    out->len = spec ? protobuf_c_message_get_packed_size(&spec->base) : 0;
    out->data = cws_malloc(out->len + room + 1);
    if (out->data && spec)
        protobuf_c_message_pack(&spec->base, out->data);
    return out->data != NULL;
}

/* ---- fields on the wire --------------------------------------------------------------------- */

/* What protobuf-c has packed is well formed, so there are no checks of form here. */
static uint64_t take_number(const uint8_t **at)
{
    uint64_t value = 0;
    unsigned shift = 0;
    do
        value |= (uint64_t)(**at & 0x7f) << shift;
    while (shift += 7, *(*at)++ & 0x80);
    return value;
}

/* The number of the field at *at, which is passed over. */
static uint32_t take_field(const uint8_t **at)
{
    uint64_t key = take_number(at);
    uint64_t len = 0;
    switch (key & 7) {
    case 0:
        take_number(at);
        break;
    case 1:
        len = 8;
        break;
    case 2:
        len = take_number(at);
        break;
    default:
        len = 4;
    }
    *at += len;
    return (uint32_t)(key >> 3);
}

static bool has_field(const struct packed *message, uint32_t number)
{
    const uint8_t *at = message->data;
    while (at < message->data + message->len)
        if (take_field(&at) == number)
            return true;
    return false;
}

/* Leaves only the fields that `upper` has not, and adds those of `upper`, for which there is
 * room. */
static void lay_over(struct packed *lower, const struct packed *upper)
{
    const uint8_t *end = lower->data + lower->len, *at = lower->data, *next = at;
    uint8_t *into = lower->data;
    for (; at < end; at = next) {
        if (has_field(upper, take_field(&next)))
            continue;
        memmove(into, at, (size_t)(next - at));
        into += next - at;
    }
    memcpy(into, upper->data, upper->len);
    lower->len = (size_t)(into - lower->data) + upper->len;
}

cwsd_pb_spec *cwsd_overlay_spec(const cwsd_pb_partial_spec *lower,
                                const cwsd_pb_partial_spec *upper, struct cwsd_fault *fault)
{
    struct packed above = {0}, result = {0};
    cwsd_pb_spec *spec = NULL;
    if (pack(upper, &above, 0) && pack(lower, &result, above.len)) {
        lay_over(&result, &above);
        spec = cwsd_wire_unpack(&coreweave__sandbox__v1__sandbox_spec__descriptor, result.data,
                                result.len, fault);
    } else {
        cwsd_fault_set_memory(fault);
    }
    cws_free(above.data);
    cws_free(result.data);
    return spec;
}
