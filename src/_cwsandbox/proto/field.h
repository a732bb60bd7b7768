/* What a descriptor says about a message's layout in memory, as far as protobuf-c has no public
 * function for it. Pure functions; any thread. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

/* True for a map: protobuf-c shows it as a repeated message of key and value. */
bool cws_proto_is_map(const ProtobufCMessageDescriptor *desc,
                      const ProtobufCFieldDescriptor *field);

/* The size of one value, in the message or in the array of a repeated field. */
size_t cws_proto_value_size(ProtobufCType type);
