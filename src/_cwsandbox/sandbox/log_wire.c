#include "sandbox/log_wire.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "grpc/frame.h"
#include "proto/generated/error_details.pb-c.h"
#include "proto/generated/sandbox.pb-c.h"
#include "proto/generated/status.pb-c.h"
#include "proto/unpack.h"
#include "proto/wire.h"

typedef Coreweave__Sandbox__V1__StreamLogsRequest logs_request;
typedef Coreweave__Sandbox__V1__LogEntry log_entry;

/* ---- the request ---------------------------------------------------------------------------- */

struct cws_block *cws_log_wire_request(const struct cws_log_request *request)
{
    logs_request message = COREWEAVE__SANDBOX__V1__STREAM_LOGS_REQUEST__INIT;
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    message.sandbox_id = (char *)(uintptr_t)request->sandbox_id;
    message.container = (char *)(uintptr_t)request->container;
    message.follow = request->follow;
    if (request->session) {
        message.resume_log_session_id = (char *)(uintptr_t)request->session;
        message.resume_log_offset = request->offset;
    } else {
        message.tail_lines = request->window.tail_lines;
        message.timestamps = request->window.timestamps;
        since.seconds = request->window.since.s;
        since.nanos = request->window.since.ns;
        message.since_time = request->window.has_since ? &since : NULL;
    }
    size_t len = coreweave__sandbox__v1__stream_logs_request__get_packed_size(&message);
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + len);
    if (block)
        coreweave__sandbox__v1__stream_logs_request__pack(&message, block->data + CWS_FRAME_PREFIX);
    return block;
}

/* ---- entries -------------------------------------------------------------------------------- */

/* The fields of a Timestamp. */
static bool parse_time(const uint8_t *at, const uint8_t *end, struct cws_log_time *time)
{
    enum { TAG_SECONDS = 1 << 3 | 0, TAG_NANOS = 2 << 3 | 0 };
    *time = (struct cws_log_time){0};
    while (at < end) {
        uint8_t tag = *at;
        uint64_t value;
        if ((tag != TAG_SECONDS && tag != TAG_NANOS) ||
            !(at = cws_wire_take_varint(at + 1, end, 64, &value)))
            return false;
        if (tag == TAG_SECONDS)
            time->s = (int64_t)value;
        else
            time->ns = (int32_t)value;
    }
    return true;
}

/*
 * There can be an entry for each line. So entries are read in place, without the allocations and
 * the copy of a general decoder. False: the message does not have the plain form, or is malformed,
 * and is left to the general decoder.
 */
static bool parse_plain(const uint8_t *at, const uint8_t *end, struct cws_log_entry *entry)
{
    enum {
        TAG_DATA = 1 << 3 | 2,
        TAG_TIMESTAMP = 2 << 3 | 2,
        TAG_SESSION = 3 << 3 | 2,
        TAG_NEXT_OFFSET = 4 << 3 | 0,
    };
    while (at < end) {
        uint8_t tag = *at;
        uint64_t value = 0;
        if ((tag != TAG_DATA && tag != TAG_TIMESTAMP && tag != TAG_SESSION &&
             tag != TAG_NEXT_OFFSET) ||
            !(at = cws_wire_take_varint(at + 1, end, 64, &value)))
            return false;
        if (tag == TAG_NEXT_OFFSET) {
            entry->next_offset = value;
            continue;
        }
        if (value > (uint64_t)(end - at))
            return false;
        if (tag == TAG_DATA) {
            entry->data = at;
            entry->len = (size_t)value;
        } else if (tag == TAG_SESSION) {
            entry->session = (const char *)at;
            entry->session_len = (size_t)value;
        } else if (!(entry->has_time = parse_time(at, at + value, &entry->time))) {
            return false;
        }
        at += value;
    }
    return !entry->session_len || !memchr(entry->session, 0, entry->session_len);
}

enum cws_status cws_log_entry_parse(const uint8_t *data, size_t len,
                                    struct cws_log_entry *out_entry)
{
    *out_entry = (struct cws_log_entry){0};
    if (len == 0 || parse_plain(data, data + len, out_entry))
        return CWS_OK;
    ProtobufCMessage *unpacked;
    enum cws_status status =
        cws_proto_unpack(&coreweave__sandbox__v1__log_entry__descriptor, data, len, &unpacked);
    if (status != CWS_OK)
        return status;
    const log_entry *entry = (const void *)unpacked;
    *out_entry = (struct cws_log_entry){
        .data = entry->data.data,
        .len = entry->data.len,
        .session = entry->log_session_id,
        .session_len = strlen(entry->log_session_id),
        .next_offset = entry->next_log_offset,
        .unpacked = unpacked,
    };
    if (entry->timestamp) {
        out_entry->has_time = true;
        out_entry->time = (struct cws_log_time){entry->timestamp->seconds, entry->timestamp->nanos};
    }
    if (entry->error && *entry->error->code) {
        out_entry->code = entry->error->code;
        out_entry->message = entry->error->message;
    }
    return CWS_OK;
}

void cws_log_entry_done(struct cws_log_entry *entry)
{
    cws_proto_free(entry->unpacked);
    entry->unpacked = NULL;
}

/* ---- the details of a status ---------------------------------------------------------------- */

/* Reasons of the service's that pass. All others are final. */
static const char *const passing_reasons[] = {
    "CWSANDBOX_RUNNER_UNAVAILABLE",        "CWSANDBOX_BACKEND_UNAVAILABLE",
    "CWSANDBOX_RUNNER_SHARD_RETIRING",     "CWSANDBOX_RUNNER_OVERLOADED",
    "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED",
};

static bool is_final(const Google__Rpc__ErrorInfo *info)
{
    if (strcmp(info->domain, "cwsandbox.com") != 0 || !*info->reason)
        return false;
    for (size_t i = 0; i < CWS_ARRAY_LEN(passing_reasons); i++)
        if (strcmp(info->reason, passing_reasons[i]) == 0)
            return false;
    return true;
}

static uint64_t delay_of(const Google__Rpc__RetryInfo *info)
{
    const Google__Protobuf__Duration *delay = info->retry_delay;
    /* More than a day makes no difference. */
    const int64_t most_s = 24 * 60 * 60;
    if (!delay || delay->seconds < 0 || delay->nanos < 0)
        return 0;
    uint64_t seconds = (uint64_t)(delay->seconds < most_s ? delay->seconds : most_s);
    return seconds * CWS_NS_PER_S + (uint64_t)delay->nanos;
}

/* The message in `any` if it is of this kind; the caller frees it. Otherwise NULL. */
static ProtobufCMessage *unpack_any(const Google__Protobuf__Any *any,
                                    const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *message = NULL;
    const char *name = strrchr(any->type_url, '/');
    if (name && strcmp(name + 1, desc->name) == 0 &&
        cws_proto_unpack(desc, any->value.data, any->value.len, &message) != CWS_OK)
        return NULL;
    return message;
}

static bool has_metadata(const Google__Rpc__ErrorInfo *info, const char *key)
{
    for (size_t i = 0; i < info->n_metadata; i++)
        if (strcmp(info->metadata[i]->key, key) == 0)
            return true;
    return false;
}

static bool is_of_another_shard(const Google__Rpc__ErrorInfo *info)
{
    return strcmp(info->domain, "cwsandbox.com") == 0 &&
           strcmp(info->reason, "CWSANDBOX_BACKEND_UNAVAILABLE") == 0 &&
           has_metadata(info, "owner_shard_id") && has_metadata(info, "local_shard_id");
}

static bool is_elsewhere(const Google__Rpc__ErrorInfo *info)
{
    return strcmp(info->domain, "cwsandbox.com") == 0 &&
           strcmp(info->reason, "CWSANDBOX_RUNNER_SHARD_RETIRING") == 0;
}

static void read_detail(const Google__Protobuf__Any *any, struct cws_log_advice *advice)
{
    ProtobufCMessage *error = unpack_any(any, &google__rpc__error_info__descriptor);
    ProtobufCMessage *retry = unpack_any(any, &google__rpc__retry_info__descriptor);
    if (error) {
        advice->is_final |= is_final((const void *)error);
        advice->is_elsewhere |= is_elsewhere((const void *)error);
        advice->lost_session |= is_of_another_shard((const void *)error);
    }
    if (retry)
        advice->delay_ns = delay_of((const void *)retry);
    cws_proto_free(error);
    cws_proto_free(retry);
}

struct cws_log_advice cws_log_wire_advice(const struct cws_grpc_status *status)
{
    struct cws_log_advice advice = {0};
    const uint8_t *at = status->details, *end = at + status->details_len;
    while (at && end - at >= 4) { /* see cws_grpc_status_add_details */
        size_t len = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        ProtobufCMessage *message;
        if (cws_proto_unpack(&google__rpc__status__descriptor, at + 4, len, &message) == CWS_OK) {
            const Google__Rpc__Status *told = (const void *)message;
            for (size_t i = 0; i < told->n_details; i++)
                read_detail(told->details[i], &advice);
            cws_proto_free(message);
        }
        at += 4 + len;
    }
    return advice;
}
