#include "proto/field.h"

#include <string.h>

/* The nested type of a map field is called after the field: "environment_variables" gives
 * "EnvironmentVariablesEntry". Nothing else may have that name, since protoc reserves it. */
static bool is_entry_name(const char *name, const char *field_name)
{
    bool upper = true;
    for (; *field_name != '\0'; field_name++) {
        if (*field_name == '_') {
            upper = true;
            continue;
        }
        char expected = *field_name;
        if (upper && expected >= 'a' && expected <= 'z') {
            expected = (char)(expected - 'a' + 'A');
        }
        upper = false;
        if (*name++ != expected) {
            return false;
        }
    }
    return strcmp(name, "Entry") == 0;
}

bool cws_proto_is_map(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t parent_len = strlen(desc->name);
    return entry->n_fields == 2 && strncmp(entry->name, desc->name, parent_len) == 0 &&
           entry->name[parent_len] == '.' &&
           is_entry_name(entry->name + parent_len + 1, field->name);
}

size_t cws_proto_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(float);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return sizeof(uint32_t);
}
