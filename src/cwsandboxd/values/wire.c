#include "values/wire.h"

#include <string.h>

#include "base/alloc.h"
#include "grpc/server.h"
#include "proto/unpack.h"
#include "values/text.h"

static bool check_message(const ProtobufCMessage *message, struct cwsd_fault *fault);

static bool check_value(const ProtobufCFieldDescriptor *field, const void *value,
                        struct cwsd_fault *fault)
{
    if (!value)
        return true;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_message(value, fault);
    if (cwsd_text_is_utf8(
            value, strlen(value))) /* cws_proto_unpack has made NULs into something that is not */
        return true;
    return cwsd_fault_set_invalid(fault, field->name, "must be UTF-8 without NUL characters");
}

/* One string or submessage, or a list of them. */
static bool check_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        struct cwsd_fault *fault)
{
    const char *base = (const char *)message;
    const void *value;
    size_t count;
    memcpy(&value, base + field->offset, sizeof(value));
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return check_value(field, value, fault);
    memcpy(&count, base + field->quantifier_offset, sizeof(count));
    for (size_t i = 0; i < count; i++) {
        const void *item;
        memcpy(&item, (const char *)value + i * sizeof(item), sizeof(item));
        if (!check_value(field, item, fault))
            return false;
    }
    return true;
}

static bool is_absent_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    uint32_t given;
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return false;
    memcpy(&given, (const char *)message + field->quantifier_offset, sizeof(given));
    return given != field->id;
}

/* cws_proto_unpack has bounded the depth. */
static bool check_message(const ProtobufCMessage *message, struct cwsd_fault *fault)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        if (!is_absent_member(message, field) && !check_field(message, field, fault))
            return false;
    }
    return true;
}

void *cwsd_wire_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                       size_t len, struct cwsd_fault *fault)
{
    ProtobufCMessage *message;
    enum cws_status status = cws_proto_unpack(descriptor, data, len, &message);
    if (status == CWS_NO_MEMORY) {
        cwsd_fault_set_memory(fault);
    } else if (status != CWS_OK) {
        cwsd_fault_set(fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST,
                       "the request cannot be parsed as %s", descriptor->name);
    } else if (!check_message(message, fault)) {
        cws_proto_free(message);
        message = NULL;
    }
    return message;
}

void cwsd_wire_free(void *message)
{
    cws_proto_free(message);
}

void cwsd_wire_free_bytes(ProtobufCBinaryData *bytes)
{
    cws_free(bytes->data);
    bytes->data = NULL;
    bytes->len = 0;
}

struct cws_block *cwsd_wire_pack(const void *message)
{
    struct cws_block *block = cws_server_message_new(protobuf_c_message_get_packed_size(message));
    if (block)
        protobuf_c_message_pack(message, block->data + CWS_FRAME_PREFIX);
    return block;
}
