/*
 * Unpacks messages from bytes that a peer sent.
 *
 * protobuf-c has three weaknesses here. It recurses as deep as the bytes say; its strings end at
 * the first NUL; and a submessage that is given many times takes quadratic time. So whatever comes
 * from a connection is unpacked here, not by the generated functions.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"

/* The maximum depth of nested messages, counting the outermost. Other protobuf libraries have the
 * same limit. */
#define CWS_PROTO_MAX_DEPTH 100

/*
 * CWS_OK: *out_msg is the message, to be freed with cws_proto_free. CWS_PROTOCOL: the bytes are not
 * such a message, nest deeper than CWS_PROTO_MAX_DEPTH, or repeat a submessage too often.
 * CWS_NO_MEMORY. On failure *out_msg is NULL.
 *
 * Unknown fields are kept, as protobuf-c does. A NUL inside a string becomes the byte 0xFF, which
 * is never part of UTF-8, so that the rest of the text is not lost. `data` may be NULL when `len`
 * is 0. Any thread.
 */
enum cws_status cws_proto_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                                 size_t len, ProtobufCMessage **out_msg) CWS_MUST_CHECK;

/* NULL is allowed. */
void cws_proto_free(ProtobufCMessage *msg);
