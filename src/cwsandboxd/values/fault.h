/*
 * Why a call cannot be carried out: the gRPC code, a text for a person, and the machine-readable
 * reason, which goes into google.rpc.Status (ErrorInfo with domain cwsandbox.com, BadRequest for
 * the field at fault, and RetryInfo).
 *
 * A value: nothing to free. `code` is CWS_GRPC_OK as long as nothing is wrong.
 */
#pragma once

#include "grpc/code.h"
#include "grpc/server.h"
#include "values/bounds.h"

#define CWSD_ERROR_DOMAIN "cwsandbox.com"

#define CWSD_REASON_INVALID_REQUEST     "CWSANDBOX_INVALID_REQUEST"
#define CWSD_REASON_NOT_IMPLEMENTED     "CWSANDBOX_NOT_IMPLEMENTED"
#define CWSD_REASON_SANDBOX_NOT_FOUND   "CWSANDBOX_SANDBOX_NOT_FOUND"
#define CWSD_REASON_SANDBOX_NOT_RUNNING "CWSANDBOX_SANDBOX_NOT_RUNNING"
#define CWSD_REASON_REQUEST_ID_CONFLICT "CWSANDBOX_REQUEST_ID_CONFLICT"
#define CWSD_REASON_CAPACITY_EXHAUSTED  "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
#define CWSD_REASON_RUNNER_UNAVAILABLE  "CWSANDBOX_RUNNER_UNAVAILABLE"
#define CWSD_REASON_OVERLOADED          "CWSANDBOX_RUNNER_OVERLOADED"
#define CWSD_REASON_BACKEND_UNAVAILABLE "CWSANDBOX_BACKEND_UNAVAILABLE"
#define CWSD_REASON_PLACEMENT           "CWSANDBOX_PLACEMENT_CONSTRAINT_UNSATISFIED"
#define CWSD_REASON_RESOURCE_CEILING    "CWSANDBOX_RESOURCE_CEILING_EXCEEDED"
#define CWSD_REASON_NO_SECRET_STORE     "CWSANDBOX_SECRET_STORE_NOT_PROVISIONED"
#define CWSD_REASON_PRECONDITION_FAILED "CWSANDBOX_PRECONDITION_FAILED"
#define CWSD_REASON_NO_SNAPSHOTS        "CWSANDBOX_FSS_NOT_SUPPORTED"
#define CWSD_REASON_FSS_NOT_FOUND       "CWSANDBOX_FSS_NOT_FOUND"
#define CWSD_REASON_FSS_NOT_READY       "CWSANDBOX_FSS_NOT_READY"
#define CWSD_REASON_FSS_INFLIGHT_LIMIT  "CWSANDBOX_FSS_INFLIGHT_LIMIT"
#define CWSD_REASON_FSS_QUOTA_EXCEEDED  "CWSANDBOX_FSS_QUOTA_EXCEEDED"
#define CWSD_REASON_FSS_CREATE_FAILED   "CWSANDBOX_FSS_CREATE_FAILED"
#define CWSD_REASON_FSS_RESTORE_FAILED  "CWSANDBOX_FSS_RESTORE_FAILED"
#define CWSD_REASON_NOT_SNAPSHOTTABLE   "CWSANDBOX_VOLUME_NOT_SNAPSHOTTABLE"
#define CWSD_REASON_RUNNER_NOT_FOUND    "CWSANDBOX_RUNNER_NOT_FOUND"
#define CWSD_REASON_PERMISSION_DENIED   "CWSANDBOX_PERMISSION_DENIED"
#define CWSD_REASON_SHARD_RETIRING      "CWSANDBOX_RUNNER_SHARD_RETIRING"
#define CWSD_REASON_BUCKET_UNAVAILABLE  "CWSANDBOX_FSS_BUCKET_UNAVAILABLE"
#define CWSD_REASON_TEMPLATE_NOT_FOUND  "CWSANDBOX_TEMPLATE_NOT_FOUND"
#define CWSD_REASON_TEMPLATE_EXISTS     "CWSANDBOX_TEMPLATE_ALREADY_EXISTS"
#define CWSD_REASON_VOLUME_NOT_FOUND    "CWSANDBOX_VOLUME_NOT_FOUND"
#define CWSD_REASON_VOLUME_NOT_READY    "CWSANDBOX_VOLUME_NOT_READY"
#define CWSD_REASON_VOLUME_EXISTS       "CWSANDBOX_VOLUME_ALREADY_EXISTS"
#define CWSD_REASON_VOLUME_RUNNER       "CWSANDBOX_VOLUME_RUNNER_INELIGIBLE"
#define CWSD_REASON_VOLUME_QUOTA        "CWSANDBOX_VOLUME_QUOTA_EXCEEDED"
#define CWSD_REASON_VOLUME_BACKEND      "CWSANDBOX_VOLUME_BACKEND_NOT_FOUND"
#define CWSD_REASON_VOLUME_IN_USE       "CWSANDBOX_VOLUME_IN_USE"
#define CWSD_REASON_UNAUTHENTICATED     "CWSANDBOX_UNAUTHENTICATED"
#define CWSD_REASON_INTERNAL            "CWSANDBOX_INTERNAL"
#define CWSD_REASON_FILE_NOT_FOUND      "CWSANDBOX_FILE_NOT_FOUND"
#define CWSD_REASON_FILE_IS_DIRECTORY   "CWSANDBOX_FILE_IS_DIRECTORY"
#define CWSD_REASON_FILE_IO_FAILED      "CWSANDBOX_FILE_IO_FAILED"
#define CWSD_REASON_FILE_PERMISSION     "CWSANDBOX_FILE_PERMISSION_DENIED"
#define CWSD_REASON_FILE_TOO_LARGE      "CWSANDBOX_FILE_TOO_LARGE"

struct cwsd_fault {
    enum cws_grpc_code code;
    const char *reason; /* one of the above */
    char message[400];  /* valid UTF-8 */
    char field[96];     /* path of the request field at fault; "": none */
    struct {
        const char *key; /* static */
        char value[160];
    } metadata[3];
    size_t metadata_count;
    unsigned retry_s; /* when it is worth trying again; 0: the client is told nothing of that */
    bool is_file;     /* it is about the file `filepath`, which is in its metadata, too */
    char filepath[CWSD_MAX_PATH_BYTES + 1];
};

static inline bool cwsd_fault_is_set(const struct cwsd_fault *fault)
{
    return fault->code != CWS_GRPC_OK;
}

/* Sets the fault, without a field or metadata. Always returns false, so that a check can `return
 * cwsd_fault_set(...)`. */
bool cwsd_fault_set(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason,
                    const char *fmt, ...) CWS_PRINTF(4, 5);

/* Sets INVALID_ARGUMENT about `field`, with the text "<field>: " and the formatted message. Always
 * returns false. */
bool cwsd_fault_set_invalid(struct cwsd_fault *fault, const char *field, const char *fmt, ...)
    CWS_PRINTF(3, 4);

/* Sets a fault about the file `path`, with the text "<path>: " and the formatted message. Always
 * returns false. */
bool cwsd_fault_set_file(struct cwsd_fault *fault, enum cws_grpc_code code, const char *reason,
                         const char *path, const char *fmt, ...) CWS_PRINTF(5, 6);

/* Sets the fault for running out of memory. Always returns false. */
bool cwsd_fault_set_memory(struct cwsd_fault *fault);

/* Tells the client (google.rpc.RetryInfo) to try again after so many seconds. */
void cwsd_fault_retry(struct cwsd_fault *fault, unsigned seconds);

/* Adds metadata. `key` must be static; `value` is copied. */
void cwsd_fault_note(struct cwsd_fault *fault, const char *key, const char *value);

/* The serialized google.rpc.Status, to be freed with cws_free; NULL when out of memory. */
uint8_t *cwsd_fault_pack(const struct cwsd_fault *fault, size_t *out_len);

/* Ends the call with the fault. */
void cwsd_fault_finish(const struct cwsd_fault *fault, struct cws_server_call *call);
