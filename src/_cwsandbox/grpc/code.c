#include "grpc/code.h"

const char *cws_grpc_code_name(int code)
{
    static const char *const names[] = {
#define CWS_GRPC_CODE_NAME(name, number) [number] = #name,
        CWS_GRPC_CODE_MAP(CWS_GRPC_CODE_NAME)
#undef CWS_GRPC_CODE_NAME
    };
    return code >= 0 && (size_t)code < CWS_ARRAY_LEN(names) ? names[code] : "UNKNOWN";
}

enum cws_grpc_code cws_grpc_code_from_http(int http_status)
{
    switch (http_status) {
    case 400:
        return CWS_GRPC_INTERNAL;
    case 401:
        return CWS_GRPC_UNAUTHENTICATED;
    case 403:
        return CWS_GRPC_PERMISSION_DENIED;
    case 404:
        return CWS_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return CWS_GRPC_UNAVAILABLE;
    default:
        return CWS_GRPC_UNKNOWN;
    }
}

enum cws_grpc_code cws_grpc_code_from_h2(uint32_t h2_error)
{
    switch (h2_error) {
    case 0x7: /* REFUSED_STREAM */
        return CWS_GRPC_UNAVAILABLE;
    case 0x8: /* CANCEL */
        return CWS_GRPC_CANCELLED;
    case 0xb: /* ENHANCE_YOUR_CALM */
        return CWS_GRPC_RESOURCE_EXHAUSTED;
    case 0xc: /* INADEQUATE_SECURITY */
        return CWS_GRPC_PERMISSION_DENIED;
    default:
        return CWS_GRPC_INTERNAL;
    }
}
