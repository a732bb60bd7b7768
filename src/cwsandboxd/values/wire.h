/* Unpacks requests and packs responses. Any thread. */
#pragma once

#include "base/block.h"
#include "values/fault.h"

#include <protobuf-c/protobuf-c.h>

/* The message, to be freed with cwsd_wire_free. NULL with *fault set: the bytes cannot be parsed; a
 * string is not UTF-8 or contains a NUL, and so could be neither used nor echoed (the fault names
 * the field); or out of memory. */
void *cwsd_wire_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                       size_t len, struct cwsd_fault *fault);

/* Frees a message, or a part taken out of one. NULL is allowed. */
void cwsd_wire_free(void *message);

/* Frees the bytes of a field and leaves it empty. */
void cwsd_wire_free_bytes(ProtobufCBinaryData *bytes);

/* Packs the message into a block for cws_server_call_send. NULL when out of memory. */
struct cws_block *cwsd_wire_pack(const void *message);
