/* Request bytes to messages, messages to response blocks. */
#pragma once

#include "base/block.h"
#include "values/fault.h"

#include <protobuf-c/protobuf-c.h>

/* The message, to be freed with cwsd_wire_free, or NULL with *fault set: it cannot be parsed; a
 * string in it is not UTF-8 or holds a NUL (named by its field; it could be neither run nor
 * echoed); out of memory. */
void *cwsd_wire_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data,
                       size_t len, struct cwsd_fault *fault);

/* NULL is allowed. Also for a part taken out of a message. */
void cwsd_wire_free(void *message);

/* Frees bytes inside a message and leaves them empty. */
void cwsd_wire_free_bytes(ProtobufCBinaryData *bytes);

/* As one response message for cws_server_call_send; NULL when out of memory. */
struct cws_block *cwsd_wire_pack(const void *message);
