/*
 * Finds descriptors by name, among everything in generated/.
 *
 * Descriptors are constants: never free what these functions return. Any thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

/* Room for any "/package.Service/Method" of these services, with the NUL. */
#define CWS_PROTO_PATH_MAX 128

/*
 * The method called `name`, for example "SandboxService/CreateSandbox"; its `input` and `output`
 * are the message descriptors. `name` has `len` bytes and needs no NUL. NULL when there is none.
 */
const ProtobufCMethodDescriptor *cws_proto_method(const char *name, size_t len);

/*
 * As cws_proto_method, but also writes the method's path on the wire, for example
 * "/coreweave.sandbox.v1.SandboxService/CreateSandbox"; the empty string if there is no such
 * method.
 */
const ProtobufCMethodDescriptor *cws_proto_method_path(const char *name, size_t len,
                                                       char out_path[CWS_PROTO_PATH_MAX]);

/*
 * The message with the full name `name`, for example "google.rpc.ErrorInfo"; `name` has `len` bytes
 * and needs no NUL. NULL when there is no such message.
 */
const ProtobufCMessageDescriptor *cws_proto_message(const char *name, size_t len);
