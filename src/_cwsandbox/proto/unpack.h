/*
 * Messages from bytes that a peer sent.
 *
 * protobuf-c has three gaps there: it recurses as deep as the bytes say, its strings end at the
 * first NUL, and a submessage given again and again costs it the square of the bytes. So what comes
 * from a connection is unpacked here, not by the generated functions.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"

/* Messages inside messages, the outermost counted; the limit other protobuf libraries have too. */
#define CWS_PROTO_MAX_DEPTH 100

/*
 * CWS_OK: *out_msg is the message, to be given back to cws_proto_free. CWS_PROTOCOL: the bytes are
 * no such message, nest deeper than CWS_PROTO_MAX_DEPTH, or give a submessage over and over.
 * CWS_NO_MEMORY. On failure *out_msg is NULL.
 *
 * Unknown fields are kept aside as protobuf-c does. A NUL inside a string becomes the byte 0xFF,
 * which is never part of UTF-8, so that the rest of the text is not lost. `data` may be NULL when
 * `len` is 0. Any thread.
 */
enum cws_status cws_proto_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                                 size_t len, ProtobufCMessage **out_msg) CWS_MUST_CHECK;

/* NULL is allowed. */
void cws_proto_free(ProtobufCMessage *msg);
