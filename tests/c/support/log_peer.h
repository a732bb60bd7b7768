/* For the tests of logs: a StreamLogs that does what the test tells it, and logs that are read. */
#pragma once

#include "sandbox/log.h"
#include "support/exec_peer.h"
#include "support/output_lines.h"

/* One StreamLogs call on the server. */
struct asked {
    struct cws_server_call *call; /* NULL once closed */
    Coreweave__Sandbox__V1__StreamLogsRequest *request;
    bool half_closed;
    bool gone;
    enum cws_grpc_code why;
};

enum { ASKED_MAX = 64 };

struct log_bed {
    struct exec_bed base;
    struct asked asked[ASKED_MAX];
    size_t count;
};

static inline void asked_start(struct cws_server_call *call, void *ctx)
{
    struct log_bed *bed = ctx;
    assert_true(bed->count < ASKED_MAX);
    struct asked *asked = &bed->asked[bed->count++];
    asked->call = call;
    cws_server_call_set_user(call, asked);
}

static inline void asked_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct asked *asked = cws_server_call_user(call);
    ProtobufCMessage *message;
    assert_null(asked->request);
    assert_int_equal(cws_proto_unpack(&coreweave__sandbox__v1__stream_logs_request__descriptor,
                                      data, len, &message),
                     CWS_OK);
    asked->request = (void *)message;
}

static inline void asked_half_closed(struct cws_server_call *call)
{
    struct asked *asked = cws_server_call_user(call);
    asked->half_closed = true;
}

static inline void asked_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    struct asked *asked = cws_server_call_user(call);
    asked->call = NULL;
    asked->gone = true;
    asked->why = why;
}

static const struct cws_server_method log_methods[] = {
    REMOTE_METHOD,
    {CWS_GATEWAY_PATH "StreamLogs", asked_start, asked_message, asked_half_closed, NULL,
     asked_closed, false, NULL},
};

static inline void log_bed_init(struct log_bed *bed)
{
    const struct cws_server_options wishes = {.methods = log_methods, .method_count = 2};
    exec_bed_init_with(&bed->base, &wishes, (struct cws_channel_options){0});
}

/* With the sandbox open. */
static inline void log_bed_open(struct log_bed *bed)
{
    log_bed_init(bed);
    exec_bed_open_sandbox(&bed->base);
}

static inline void log_bed_close(struct log_bed *bed)
{
    for (size_t i = 0; i < bed->count; i++)
        cws_proto_free((ProtobufCMessage *)bed->asked[i].request);
    exec_bed_close(&bed->base);
}

static inline struct cws_loop *log_loop(struct log_bed *bed)
{
    return bed->base.client.loop;
}

static inline struct cws_log *log_start_with(struct log_bed *bed, struct cws_log_options options)
{
    struct cws_log *log = NULL;
    if (!options.container)
        options.container = "";
    assert_int_equal(cws_log_start(bed->base.sandbox, &options, &log), CWS_OK);
    cws_output_attach(&log->output);
    return log;
}

static inline struct cws_log *log_follow(struct log_bed *bed)
{
    return log_start_with(bed, (struct cws_log_options){.follow = true, .timeout_s = -1});
}

/* Waits for the n-th request, from 0. */
static inline struct asked *wait_asked(struct log_bed *bed, size_t n)
{
    WAIT_FOR(log_loop(bed), bed->count > n && bed->asked[n].half_closed);
    assert_non_null(bed->asked[n].request);
    return &bed->asked[n];
}

static inline void asked_entry(struct asked *asked, const Coreweave__Sandbox__V1__LogEntry *entry)
{
    struct cws_block *block =
        cws_server_message_new(coreweave__sandbox__v1__log_entry__get_packed_size(entry));
    assert_non_null(block);
    coreweave__sandbox__v1__log_entry__pack(entry, block->data + CWS_FRAME_PREFIX);
    cws_server_call_send(asked->call, block);
}

static inline void asked_bytes(struct asked *asked, const void *bytes, size_t len,
                               const char *session, uint64_t next_offset)
{
    Coreweave__Sandbox__V1__LogEntry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    entry.data.data = (uint8_t *)(uintptr_t)bytes;
    entry.data.len = len;
    entry.log_session_id = (char *)(uintptr_t)session;
    entry.next_log_offset = next_offset;
    asked_entry(asked, &entry);
}

static inline void asked_send(struct asked *asked, const char *text, const char *session,
                              uint64_t next_offset)
{
    asked_bytes(asked, text, strlen(text), session, next_offset);
}

static inline void asked_error(struct asked *asked, const char *code)
{
    Coreweave__Sandbox__V1__LogStreamError error = COREWEAVE__SANDBOX__V1__LOG_STREAM_ERROR__INIT;
    Coreweave__Sandbox__V1__LogEntry entry = COREWEAVE__SANDBOX__V1__LOG_ENTRY__INIT;
    error.code = (char *)(uintptr_t)code;
    error.message = (char *)(uintptr_t)"in words";
    entry.error = &error;
    asked_entry(asked, &entry);
}

static inline void asked_finish(struct asked *asked, enum cws_grpc_code code)
{
    cws_server_call_finish(asked->call, code, code == CWS_GRPC_OK ? NULL : "over", NULL, 0);
}

/* What a request asks for, in a line. */
static inline void assert_asked(const struct asked *asked, bool follow, int tail, bool has_since,
                                bool timestamps, const char *session, uint64_t offset)
{
    const Coreweave__Sandbox__V1__StreamLogsRequest *request = asked->request;
    assert_string_equal(request->sandbox_id, SANDBOX_ID);
    assert_int_equal(request->follow, follow);
    assert_int_equal(request->tail_lines, tail);
    assert_int_equal(request->since_time != NULL, has_since);
    assert_int_equal(request->timestamps, timestamps);
    assert_string_equal(request->resume_log_session_id, session);
    assert_int_equal(request->resume_log_offset, offset);
}

/* Waits for a whole line, or for the rest at the end. */
static inline void assert_log_line(struct log_bed *bed, struct cws_log *log, const char *text)
{
    struct cws_output_line line;
    enum cws_output_next next;
    WAIT_FOR(log_loop(bed), (next = cws_output_take(&log->output, CWS_OUTPUT_LINE, &line, NULL)) !=
                                CWS_OUTPUT_EMPTY);
    assert_int_equal(next, CWS_OUTPUT_TAKEN);
    assert_bytes_of_line(&line, text, strlen(text));
}

/* Waits for its end and lets go of it. */
static inline void assert_log_end(struct log_bed *bed, struct cws_log *log, enum cws_log_end end)
{
    WAIT_FOR(log_loop(bed), cws_future_is_done(&log->future));
    assert_next(&log->output, CWS_OUTPUT_END);
    assert_int_equal(log->end, end);
    assert_true(cws_list_is_empty(&log->loop_only.tenant.node));
    assert_null(log->loop_only.call);
    cws_log_unref(log);
}

#define LOG_TEST(function) TEST_WITH(struct log_bed, function)
