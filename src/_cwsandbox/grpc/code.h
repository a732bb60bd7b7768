/* gRPC status codes, and the codes that stand for HTTP and HTTP/2 failures. Values only; any
 * thread. */
#pragma once

#include "base/status.h"

#define CWS_GRPC_CODE_MAP(X) \
    X(OK, 0) \
    X(CANCELLED, 1) \
    X(UNKNOWN, 2) \
    X(INVALID_ARGUMENT, 3) \
    X(DEADLINE_EXCEEDED, 4) \
    X(NOT_FOUND, 5) \
    X(ALREADY_EXISTS, 6) \
    X(PERMISSION_DENIED, 7) \
    X(RESOURCE_EXHAUSTED, 8) \
    X(FAILED_PRECONDITION, 9) \
    X(ABORTED, 10) \
    X(OUT_OF_RANGE, 11) \
    X(UNIMPLEMENTED, 12) \
    X(INTERNAL, 13) \
    X(UNAVAILABLE, 14) \
    X(DATA_LOSS, 15) \
    X(UNAUTHENTICATED, 16)

enum cws_grpc_code {
#define CWS_GRPC_CODE_ENUM(name, number) CWS_GRPC_##name = number,
    CWS_GRPC_CODE_MAP(CWS_GRPC_CODE_ENUM)
#undef CWS_GRPC_CODE_ENUM
};

/* The code's name, such as "UNAVAILABLE"; "UNKNOWN" for a number that is not a code. */
const char *cws_grpc_code_name(int code);

/* The code for a reply whose HTTP status is not 200 and that has no grpc-status. */
enum cws_grpc_code cws_grpc_code_from_http(int http_status);

/* The code for a stream that the peer has reset with this HTTP/2 error code. */
enum cws_grpc_code cws_grpc_code_from_h2(uint32_t h2_error);
