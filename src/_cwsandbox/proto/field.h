/* What a descriptor means for the memory of a message, where protobuf-c keeps it to itself. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

/* True for a map: protobuf-c shows it as a repeated message of key and value. */
bool cws_proto_is_map(const ProtobufCMessageDescriptor *desc,
                      const ProtobufCFieldDescriptor *field);

/* Bytes that one value takes, in the message or in the array of a repeated field. */
size_t cws_proto_value_size(ProtobufCType type);
