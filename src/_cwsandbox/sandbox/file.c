#include "sandbox/file.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/guest.h"
#include "proto/unpack.h"
#include "sandbox/cancel.h"
#include "sandbox/file_wire.h"

void cws_file_ref(struct cws_file *file)
{
    cws_ref_get(&file->ref);
}

void cws_file_unref(struct cws_file *file)
{
    if (!file || !cws_ref_put(&file->ref))
        return;
    cws_sandbox_unref(file->sandbox);
    cws_trace_unref(file->trace);
    cws_queue_unref(file->unfinished);
    cws_grpc_status_done(&file->status);
    cws_output_done(&file->content);
    cws_future_done(&file->future);
    cws_free(file);
}

/* ---- the end -------------------------------------------------------------------------------- */

static bool details_name(const struct cws_grpc_status *status, const char *text)
{
    return status->details_len && memmem(status->details, status->details_len, text, strlen(text));
}

/* Whether more than this call may help against the failure. Whoever takes the operation from the
 * queue looks closely. */
static bool may_need_more(const struct cws_file *file)
{
    const struct cws_grpc_status *status = &file->status;
    if (status->code == CWS_GRPC_RESOURCE_EXHAUSTED || details_name(status, "FILE_TOO_LARGE"))
        return true;
    return !file->is_write && status->code == CWS_GRPC_UNAVAILABLE &&
           details_name(status, "google.rpc.RetryInfo");
}

/* The queue has a reference of its own. */
static void put_into_queue(struct cws_file *file, bool is_unfinished)
{
    struct cws_queue *queue = file->unfinished;
    cws_file_ref(file);
    cws_waiters_lock(&queue->waiters);
    file->is_unfinished |= is_unfinished;
    bool is_new = cws_queue_push_lock_held(queue, &file->place);
    cws_waiters_unlock(&queue->waiters);
    if (!is_new)
        cws_file_unref(file);
}

void cws_file_leave(struct cws_file *file)
{
    put_into_queue(file, false);
}

struct cws_file *cws_file_pop(struct cws_queue *queue, bool *out_unfinished,
                              struct cws_observer *observer)
{
    struct cws_file *file = NULL;
    cws_waiters_lock(&queue->waiters);
    struct cws_list *node = cws_queue_pop_lock_held(queue, observer);
    if (node) {
        file = cws_list_entry(node, struct cws_file, place);
        *out_unfinished = file->is_unfinished;
    }
    cws_waiters_unlock(&queue->waiters);
    return file;
}

static void end_trace(struct cws_file *file)
{
    static const char *const names[] = {
        [CWS_FILE_DONE] = "done",           [CWS_FILE_STATUS] = "status",
        [CWS_FILE_NOT_OPEN] = "not_open",   [CWS_FILE_CLOSED] = "closed",
        [CWS_FILE_CANCELLED] = "cancelled",
    };
    cws_trace_end(file->trace, &(struct cws_trace_end){
                                   .how = names[file->end],
                                   .code = file->status.code,
                                   .text = file->status.message,
                               });
}

/* Does nothing if the operation has ended. */
static void end_file(struct cws_file *file, enum cws_file_end end)
{
    if (cws_future_is_done(&file->future))
        return;
    cws_tenant_leave(&file->loop_only.tenant);
    cws_timer_cancel(file->sandbox->loop, &file->loop_only.timer);
    if (file->loop_only.call) {
        cws_call_cancel(file->loop_only.call);
        file->loop_only.call = NULL;
    }
    if (end == CWS_FILE_STATUS && may_need_more(file) &&
        atomic_load(&file->phase) == CWS_PHASE_LIVE) {
        file->end = end;
        /* The reference of the loop is kept until cws_file_finish. */
        put_into_queue(file, true);
        return;
    }
    file->end = cws_phase_end(&file->phase) ? CWS_FILE_CANCELLED : end;
    if (file->trace)
        end_trace(file);
    cws_future_complete(&file->future);
    cws_file_unref(file); /* the loop's */
}

static void run_finish(struct cws_task *task)
{
    struct cws_file *file = cws_container_of(task, struct cws_file, start_task);
    cws_future_complete(&file->future);
    cws_file_unref(file); /* the loop's */
}

void cws_file_finish(struct cws_file *file)
{
    file->start_task.run = run_finish;
    cws_loop_post(file->sandbox->loop, &file->start_task);
}

static void fail_locally(struct cws_file *file, int code, const char *text)
{
    cws_grpc_status_done(&file->status);
    cws_grpc_status_set(&file->status, code, "%s", text);
    end_file(file, CWS_FILE_STATUS);
}

/* ---- the reply ------------------------------------------------------------------------------ */

static void add_content(struct cws_file *file, const uint8_t *data, size_t len)
{
    if (!file->loop_only.out_of_memory && len &&
        cws_output_append(&file->content, data, len) != CWS_OK)
        file->loop_only.out_of_memory = true;
}

static void on_message(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_file *file = ctx;
    const uint8_t *content = NULL;
    size_t content_len = 0;
    void *unpacked = NULL;
    if (file->loop_only.replies++) /* against the protocol; on_status reports it */
        return;
    enum cws_status status =
        file->is_write ? cws_file_wire_check_written(data, len)
                       : cws_file_wire_parse(data, len, &content, &content_len, &unpacked);
    file->loop_only.out_of_memory = status == CWS_NO_MEMORY;
    file->loop_only.garbled = status == CWS_PROTOCOL;
    if (status == CWS_OK)
        add_content(file, content, content_len);
    cws_proto_free(unpacked);
}

/* Content is stored as it arrives, before its message is whole, so that it is copied only once. */
static bool on_begun(void *ctx, const uint8_t *data, size_t len, size_t message_len)
{
    struct cws_file *file = ctx;
    if (file->is_write || file->loop_only.replies > 0 ||
        !cws_file_wire_begin(data, len, message_len, &file->loop_only.head_len))
        return false;
    file->loop_only.replies++;
    return true;
}

static void on_piece(void *ctx, const uint8_t *data, size_t len)
{
    struct cws_file *file = ctx;
    size_t head_len = file->loop_only.head_len;
    file->loop_only.head_len = 0;
    add_content(file, data + head_len, len - head_len);
}

static void on_status(void *ctx, struct cws_grpc_status *status)
{
    struct cws_file *file = ctx;
    file->loop_only.call = NULL;
    if (status->code != CWS_GRPC_OK) {
        cws_grpc_status_move(&file->status, status);
        end_file(file, CWS_FILE_STATUS);
    } else if (file->loop_only.replies != 1) {
        fail_locally(file, CWS_GRPC_INTERNAL,
                     file->loop_only.replies ? "the peer sent more than one reply message"
                                             : "the peer sent no reply message");
    } else if (file->loop_only.garbled) {
        fail_locally(file, CWS_GRPC_INTERNAL, "the peer's reply could not be decoded");
    } else if (file->loop_only.out_of_memory) {
        fail_locally(file, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for the reply");
    } else {
        end_file(file, CWS_FILE_DONE);
    }
}

static const struct cws_call_events call_events = {
    .on_message = on_message,
    .on_begun = on_begun,
    .on_piece = on_piece,
    .on_status = on_status,
};

/* ---- the start ------------------------------------------------------------------------------ */

static void send_tenant(struct cws_tenant *tenant)
{
    struct cws_file *file = cws_container_of(tenant, struct cws_file, loop_only.tenant);
    struct cws_sandbox *sandbox = file->sandbox;
    struct cws_call_options options = {
        .deadline_ns = file->deadline_ns,
        .metadata = cws_trace_metadata(file->trace),
    };
    cws_timer_cancel(sandbox->loop, &file->loop_only.timer);
    struct cws_channel *channel = cws_sandbox_route(
        sandbox, tenant, file->is_write ? CWS_DATA_WRITE_FILE : CWS_DATA_READ_FILE, &options);
    if (!channel) {
        fail_locally(file, CWS_GRPC_UNAVAILABLE, CWS_ROUTE_NOT_PERMITTED);
        return;
    }
    struct cws_block *block = cws_file_wire_request_block(&(struct cws_file_wire_request){
        .sandbox_id = sandbox->loop_only.id,
        .path = file->path,
        .container = file->container,
        .is_write = file->is_write,
        .copied = file->copied,
        .copied_len = file->copied_len,
        .borrowed = file->loop_only.borrowed,
        .borrowed_len = file->loop_only.borrowed_len,
    });
    if (block)
        file->loop_only.call = cws_call_start(channel, &options, &call_events, file);
    if (!block || !file->loop_only.call) {
        if (block)
            cws_block_settle(block, CWS_CLOSED);
        fail_locally(file, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a call");
        return;
    }
    cws_trace_sent(file->trace);
    cws_call_send(file->loop_only.call, block);
    cws_call_half_close(file->loop_only.call);
}

static void end_tenant(struct cws_tenant *tenant, enum cws_eviction why)
{
    end_file(cws_container_of(tenant, struct cws_file, loop_only.tenant),
             why == CWS_EVICTION_CLOSED ? CWS_FILE_CLOSED : CWS_FILE_NOT_OPEN);
}

static const struct cws_tenant_kind tenant_kind = {.send = send_tenant, .end = end_tenant};

static void on_timer(struct cws_timer *timer)
{
    struct cws_file *file = cws_container_of(timer, struct cws_file, loop_only.timer);
    fail_locally(file, CWS_GRPC_DEADLINE_EXCEEDED, "the sandbox was not seen to run in time");
}

static void run_start(struct cws_task *task)
{
    struct cws_file *file = cws_container_of(task, struct cws_file, start_task);
    if (file->timeout_s >= 0)
        file->deadline_ns = cws_clock_deadline_ns(file->timeout_s);
    cws_file_ref(file); /* it may end here */
    cws_sandbox_admit(file->sandbox, &file->loop_only.tenant);
    bool waits = file->end == CWS_FILE_RUNNING && !file->loop_only.call;
    if (waits &&
        cws_timer_set(file->sandbox->loop, &file->loop_only.timer, file->deadline_ns) != CWS_OK)
        fail_locally(file, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a call");
    cws_file_unref(file);
}

static void run_cancel(struct cws_task *task)
{
    struct cws_file *file = cws_container_of(task, struct cws_file, cancel_task);
    if (cws_queue_remove(file->unfinished, &file->place))
        cws_file_unref(file); /* the queue's */
    end_file(file, CWS_FILE_CANCELLED);
    cws_file_unref(file); /* the task's */
}

/* Path, container and the copied part of the content lie behind the struct. */
static struct cws_file *file_alloc(const struct cws_file_options *options)
{
    size_t path_size = strlen(options->path) + 1, container_size = strlen(options->container) + 1;
    size_t copied = options->content_len <= CWS_FILE_COPIED_MAX ? options->content_len : 0;
    struct cws_file *file = cws_malloc(sizeof(*file) + path_size + container_size + copied);
    if (!file)
        return NULL;
    memset(file, 0, sizeof(*file));
    char *at = file->path;
    memcpy(at, options->path, path_size);
    file->container = memcpy(at + path_size, options->container, container_size);
    file->copied_len = copied;
    file->copied = (uint8_t *)at + path_size + container_size;
    if (copied)
        memcpy(at + path_size + container_size, options->content, copied);
    file->loop_only.borrowed = options->content + copied;
    file->loop_only.borrowed_len = options->content_len - copied;
    return file;
}

enum cws_status cws_file_start(struct cws_sandbox *sandbox, const struct cws_file_options *options,
                               struct cws_file **out_file)
{
    struct cws_file *file = file_alloc(options);
    if (!file)
        return CWS_NO_MEMORY;
    cws_ref_init(&file->ref);
    cws_ref_get(&file->ref); /* the loop's, until the end */
    cws_future_init(&file->future);
    cws_output_init(&file->content);
    cws_list_init(&file->place);
    cws_sandbox_ref(sandbox);
    file->sandbox = sandbox;
    cws_queue_ref(options->unfinished);
    file->unfinished = options->unfinished;
    file->is_write = options->is_write;
    file->timeout_s = options->timeout_s;
    file->trace = options->trace;
    file->deadline_ns = CWS_NO_DEADLINE;
    file->start_task.run = run_start;
    file->cancel_task.run = run_cancel;
    cws_tenant_init(&file->loop_only.tenant, &tenant_kind);
    cws_timer_init(&file->loop_only.timer, on_timer);
    atomic_init(&file->phase, CWS_PHASE_LIVE);
    *out_file = file;
    cws_loop_post_here(sandbox->loop, &file->start_task);
    return CWS_OK;
}

bool cws_file_cancel(struct cws_file *file)
{
    bool first;
    bool cancelled = cws_phase_cancel(&file->phase, &first);
    if (first) {
        cws_file_ref(file);
        cws_loop_post(file->sandbox->loop, &file->cancel_task);
    }
    return cancelled;
}
