#include "values/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/generated/error_details.pb-c.h"
#include "proto/generated/status.pb-c.h"
#include "values/text.h"

#define TYPE_URL_ERROR_INFO  "type.googleapis.com/google.rpc.ErrorInfo"
#define TYPE_URL_BAD_REQUEST "type.googleapis.com/google.rpc.BadRequest"
#define TYPE_URL_RETRY_INFO  "type.googleapis.com/google.rpc.RetryInfo"

static void set(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason)
{
    memset(fault, 0, sizeof(*fault));
    fault->code = code;
    fault->reason = reason;
}

bool cwsd_fault_set(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason,
                    const char *fmt, ...)
{
    set(fault, code, reason);
    va_list args;
    va_start(args, fmt);
    vsnprintf(fault->message, sizeof(fault->message), fmt, args);
    va_end(args);
    cwsd_text_clean(fault->message);
    return false;
}

/* "WHAT: TEXT" */
static void set_about(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason,
                      const char *what, const char *fmt, va_list args)
{
    char text[300];
    vsnprintf(text, sizeof(text), fmt, args);
    set(fault, code, reason);
    snprintf(fault->message, sizeof(fault->message), "%s: %s", what, text);
    cwsd_text_clean(fault->message);
}

bool cwsd_fault_set_invalid(struct cwsd_fault *fault, const char *field, const char *fmt, ...)
{
    char clean[sizeof(fault->field)];
    snprintf(clean, sizeof(clean), "%s", field);
    cwsd_text_clean(clean);
    va_list args;
    va_start(args, fmt);
    set_about(fault, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_INVALID_REQUEST, clean, fmt, args);
    va_end(args);
    memcpy(fault->field, clean, sizeof(clean));
    return false;
}

bool cwsd_fault_set_file(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason,
                         const char *path, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_about(fault, code, reason, cwsd_text_short(path).text, fmt, args);
    va_end(args);
    fault->is_file = true;
    if (snprintf(fault->filepath, sizeof(fault->filepath), "%s", path) >=
        (int)sizeof(fault->filepath))
        cwsd_text_clean(fault->filepath);
    return false;
}

bool cwsd_fault_set_memory(struct cwsd_fault *fault)
{
    return cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_INTERNAL,
                          "the daemon is out of memory");
}

void cwsd_fault_note(struct cwsd_fault *fault, const char *key, const char *value)
{
    if (fault->metadata_count == CWS_ARRAY_LEN(fault->metadata))
        return;
    char *into = fault->metadata[fault->metadata_count].value;
    fault->metadata[fault->metadata_count].key = key;
    snprintf(into, sizeof(fault->metadata[0].value), "%s", value);
    cwsd_text_clean(into);
    fault->metadata_count++;
}

void cwsd_fault_retry(struct cwsd_fault *fault, unsigned seconds)
{
    fault->retry_s = seconds;
}

/* Packs `message` into new memory as the value of `any`; false when out of memory. */
static bool pack_any(Google__Protobuf__Any *any, const char *type_url,
                     const ProtobufCMessage *message)
{
    google__protobuf__any__init(any);
    any->type_url = (char *)type_url;
    any->value.len = protobuf_c_message_get_packed_size(message);
    any->value.data = cws_malloc(any->value.len);
    if (!any->value.data)
        return false;
    protobuf_c_message_pack(message, any->value.data);
    return true;
}

static bool pack_error_info(const struct cwsd_fault *fault, Google__Protobuf__Any *any)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entries[CWS_ARRAY_LEN(fault->metadata) + 1];
    Google__Rpc__ErrorInfo__MetadataEntry *entry_list[CWS_ARRAY_LEN(entries)];
    info.reason = (char *)fault->reason;
    info.domain = (char *)CWSD_ERROR_DOMAIN;
    info.n_metadata = fault->metadata_count + fault->is_file;
    info.metadata = entry_list;
    for (size_t i = 0; i < info.n_metadata; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        bool path = i == fault->metadata_count;
        entries[i].key = path ? (char *)"filepath" : (char *)fault->metadata[i].key;
        entries[i].value = path ? (char *)fault->filepath : (char *)fault->metadata[i].value;
        entry_list[i] = &entries[i];
    }
    return pack_any(any, TYPE_URL_ERROR_INFO, &info.base);
}

static bool pack_bad_request(const struct cwsd_fault *fault, Google__Protobuf__Any *any)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    violation.field = (char *)fault->field;
    violation.description = (char *)fault->message;
    request.n_field_violations = 1;
    request.field_violations = violations;
    return pack_any(any, TYPE_URL_BAD_REQUEST, &request.base);
}

static bool pack_retry_info(const struct cwsd_fault *fault, Google__Protobuf__Any *any)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    delay.seconds = fault->retry_s;
    info.retry_delay = &delay;
    return pack_any(any, TYPE_URL_RETRY_INFO, &info.base);
}

uint8_t *cwsd_fault_pack(const struct cwsd_fault *fault, size_t *out_len)
{
    Google__Protobuf__Any info = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any bad_request = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any retry_info = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__Any *details[3] = {&info};
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    uint8_t *packed = NULL;

    status.code = (int)fault->code;
    status.message = (char *)fault->message;
    status.details = details;
    status.n_details = 1;
    if (fault->field[0])
        details[status.n_details++] = &bad_request;
    if (fault->retry_s)
        details[status.n_details++] = &retry_info;
    if (!pack_error_info(fault, &info))
        goto done;
    if (fault->field[0] && !pack_bad_request(fault, &bad_request))
        goto done;
    if (fault->retry_s && !pack_retry_info(fault, &retry_info))
        goto done;
    *out_len = protobuf_c_message_get_packed_size(&status.base);
    packed = cws_malloc(*out_len);
    if (packed)
        protobuf_c_message_pack(&status.base, packed);
done:
    cws_free(info.value.data);
    cws_free(bad_request.value.data);
    cws_free(retry_info.value.data);
    return packed;
}

void cwsd_fault_finish(const struct cwsd_fault *fault, struct cws_server_call *call)
{
    size_t len = 0;
    uint8_t *details = cwsd_fault_pack(fault, &len);
    cws_server_call_finish(call, fault->code, fault->message, details, details ? len : 0);
    cws_free(details);
}
