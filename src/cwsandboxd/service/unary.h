/*
 * Calls of one request message. A method's `message` callback is one of its own that begins with
 * cwsd_unary_take; the other callbacks of methods that answer at once are the ones here.
 */
#pragma once

#include "values/wire.h"

void cwsd_unary_start(struct cws_server_call *call, void *ctx);
void cwsd_unary_half_closed(struct cws_server_call *call);
void cwsd_unary_drained(struct cws_server_call *call);
void cwsd_unary_closed(struct cws_server_call *call, enum cws_grpc_code why);

/* The request, to be freed with cwsd_wire_free. NULL when it was not acceptable: then the call
 * is finished. */
void *cwsd_unary_take(struct cws_server_call *call, const ProtobufCMessageDescriptor *descriptor,
                      const uint8_t *data, size_t len);
