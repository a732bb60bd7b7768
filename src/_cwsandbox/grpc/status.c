#include "grpc/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void cws_grpc_status_init(struct cws_grpc_status *status)
{
    *status = (struct cws_grpc_status){0};
}

void cws_grpc_status_done(struct cws_grpc_status *status)
{
    cws_free(status->message);
    cws_free(status->details);
    cws_grpc_status_init(status);
}

void cws_grpc_status_set(struct cws_grpc_status *status, int code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    cws_grpc_status_done(status);
    status->message = cws_strdup(text);
    status->code = code;
    status->local = true;
}

enum cws_status cws_grpc_status_add_details(struct cws_grpc_status *status, const uint8_t *bytes,
                                            size_t len)
{
    if (len > UINT32_MAX)
        return CWS_TOO_LARGE;
    uint8_t *details = cws_realloc(status->details, status->details_len + 4 + len);
    if (!details)
        return CWS_NO_MEMORY;
    uint8_t *entry = details + status->details_len;
    entry[0] = (uint8_t)(len >> 24);
    entry[1] = (uint8_t)(len >> 16);
    entry[2] = (uint8_t)(len >> 8);
    entry[3] = (uint8_t)len;
    if (len)
        memcpy(entry + 4, bytes, len);
    status->details = details;
    status->details_len += 4 + len;
    return CWS_OK;
}

void cws_grpc_status_move(struct cws_grpc_status *to, struct cws_grpc_status *from)
{
    if (to == from)
        return;
    cws_grpc_status_done(to);
    *to = *from;
    cws_grpc_status_init(from);
}
