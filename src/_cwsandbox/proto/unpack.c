#include "proto/unpack.h"

#include <string.h>

#include "base/alloc.h"

#define VARINT_MAX 10 /* bytes of a 64-bit one */
#define HEADER_MAX 5  /* bytes of a tag, or of a length */

/* How often a message may repeat its singular submessages. protobuf-c merges each repetition into
 * the previous one and copies all lists again, so 4 MB of repetitions would take it a minute. */
#define MERGES_MAX 64

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* One message on the way through its bytes. */
struct frame {
    const ProtobufCMessageDescriptor *desc;
    struct cursor cursor;
    unsigned depth;
    unsigned submessages; /* single ones seen so far */
};

struct scan {
    const uint8_t *data;
    size_t len;
    uint8_t *clean; /* a copy of data without NULs in strings; NULL until one is found */
    bool out_of_memory;
};

static void *alloc_block(void *arg, size_t size)
{
    struct scan *scan = arg;
    void *block = cws_malloc(size);
    scan->out_of_memory = scan->out_of_memory || block == NULL;
    return block;
}

static void free_block(void *unused, void *block)
{
    (void)unused;
    cws_free(block);
}

static bool read_varint(struct cursor *cursor, size_t max, uint64_t *out_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < max && cursor->at < cursor->end; i++) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct cursor *cursor, uint64_t count)
{
    if (count > (uint64_t)(cursor->end - cursor->at)) {
        return false;
    }
    cursor->at += count;
    return true;
}

/* False when out of memory. */
static bool mark_nuls(struct scan *scan, const uint8_t *text, size_t len)
{
    const uint8_t *nul = len == 0 ? NULL : memchr(text, '\0', len);
    if (nul == NULL) {
        return true;
    }
    if (scan->clean == NULL) {
        scan->clean = alloc_block(scan, scan->len);
        if (scan->clean == NULL) {
            return false;
        }
        memcpy(scan->clean, scan->data, scan->len);
    }
    for (; nul < text + len; nul++) {
        if (*nul == '\0') {
            scan->clean[nul - scan->data] = 0xff;
        }
    }
    return true;
}

static bool scan_message(struct scan *scan, struct frame frame);

static bool scan_bytes(struct scan *scan, struct frame *frame,
                       const ProtobufCFieldDescriptor *field, struct cursor content)
{
    if (field == NULL) {
        return true;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return mark_nuls(scan, content.at, (size_t)(content.end - content.at));
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return true;
    }
    if (field->label != PROTOBUF_C_LABEL_REPEATED &&
        ++frame->submessages > frame->desc->n_fields + MERGES_MAX) {
        return false;
    }
    return scan_message(scan, (struct frame){field->descriptor, content, frame->depth + 1, 0});
}

static bool scan_field(struct scan *scan, struct frame *frame)
{
    struct cursor *cursor = &frame->cursor;
    uint64_t tag;
    uint64_t value;
    if (!read_varint(cursor, HEADER_MAX, &tag) || tag >> 3 == 0) {
        return false; /* no field has the number 0 */
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        return read_varint(cursor, VARINT_MAX, &value);
    case WIRE_64:
        return skip(cursor, 8);
    case WIRE_32:
        return skip(cursor, 4);
    case WIRE_BYTES: {
        if (!read_varint(cursor, HEADER_MAX, &value)) {
            return false;
        }
        struct cursor content = {cursor->at, cursor->at};
        if (!skip(cursor, value)) {
            return false;
        }
        content.end = cursor->at;
        unsigned number = (unsigned)(tag >> 3);
        return scan_bytes(scan, frame, protobuf_c_message_descriptor_get_field(frame->desc, number),
                          content);
    }
    default:
        return false; /* groups, which proto3 does not have, and meaningless numbers */
    }
}

/* What protobuf-c will see, in the same order; at most as lenient as it. */
static bool scan_message(struct scan *scan, struct frame frame)
{
    if (frame.depth > CWS_PROTO_MAX_DEPTH) {
        return false;
    }
    while (frame.cursor.at < frame.cursor.end) {
        if (!scan_field(scan, &frame)) {
            return false;
        }
    }
    return true;
}

enum cws_status cws_proto_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                                 size_t len, ProtobufCMessage **out_msg)
{
    static const uint8_t nothing[1];
    const uint8_t *bytes = len == 0 ? nothing : data;
    struct scan scan = {.data = bytes, .len = len};
    ProtobufCAllocator allocator = {alloc_block, free_block, &scan};
    *out_msg = NULL;
    if (scan_message(&scan, (struct frame){desc, {bytes, bytes + len}, 1, 0})) {
        *out_msg =
            protobuf_c_message_unpack(desc, &allocator, len, scan.clean ? scan.clean : bytes);
    }
    cws_free(scan.clean);
    if (*out_msg != NULL) {
        return CWS_OK;
    }
    return scan.out_of_memory ? CWS_NO_MEMORY : CWS_PROTOCOL;
}

void cws_proto_free(ProtobufCMessage *msg)
{
    ProtobufCAllocator allocator = {alloc_block, free_block, NULL};
    if (msg != NULL) {
        protobuf_c_message_free_unpacked(msg, &allocator);
    }
}
