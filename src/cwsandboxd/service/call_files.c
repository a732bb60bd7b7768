/* ReadFile and WriteFile: one file in one message. */
#include <string.h>

#include "sandboxes/file_task.h"
#include "service/calls.h"
#include "service/content.h"
#include "service/unary.h"
#include "values/bounds.h"

struct file_call {
    struct cwsd_unary unary;
    struct cwsd_file_task *task;
    /* Reading: */
    struct cws_claim claim;
    struct cwsd_content content;
    size_t room; /* of the content's memory, what was asked for */
};

static struct file_call *call_of(struct cwsd_unary *unary)
{
    return cws_container_of(unary, struct file_call, unary);
}

static void free_task(struct file_call *call)
{
    cwsd_file_task_free(call->task);
    call->task = NULL;
}

/* Ends the call, and may free it. Its room goes at once: others may be granted theirs before the
 * call is closed, and it must not be among them. */
static void fail(struct file_call *call, const struct cwsd_fault *fault)
{
    free_task(call);
    cwsd_content_done(&call->content);
    cws_claim_end(&call->claim);
    cwsd_unary_fail(&call->unary, fault);
}

static void on_failed(void *ctx, const struct cwsd_fault *fault)
{
    fail(ctx, fault);
}

/* Whoever ended it: nobody waits for the file any more, and nothing is left to be sent. */
static void file_closed(struct cwsd_unary *unary)
{
    struct file_call *call = call_of(unary);
    free_task(call);
    cwsd_content_done(&call->content);
    cws_claim_end(&call->claim);
}

/* A path with a NUL, or not in UTF-8, names no file. It cannot be repeated either. */
static void name_no_file(struct cwsd_fault *fault)
{
    if (fault->code != CWS_GRPC_INVALID_ARGUMENT || strcmp(fault->field, "path") != 0)
        return;
    fault->reason = CWSD_REASON_FILE_IO_FAILED;
    fault->field[0] = '\0';
}

/* ---- reading -------------------------------------------------------------------------------- */

static void on_read_need(void *ctx, size_t len)
{
    struct file_call *call = ctx;
    call->room += len;
    cws_claim_more(&call->claim, &cwsd_service_of(call->unary.call)->unsent_files, len);
}

static void on_granted(struct cws_claim *claim)
{
    struct file_call *call = cws_container_of(claim, struct file_call, claim);
    size_t len = call->content.room;
    size_t more = call->room - len;
    struct cwsd_fault fault;
    uint8_t *memory = cwsd_content_reserve(&call->content, len, more);
    if (memory) {
        cwsd_file_task_give(call->task, memory, more);
        return;
    }
    cwsd_fault_set_memory(&fault);
    fail(call, &fault);
}

static void on_refused(struct cws_claim *claim)
{
    struct file_call *call = cws_container_of(claim, struct file_call, claim);
    struct cwsd_fault fault;
    cwsd_fault_set(&fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_OVERLOADED,
                   "files of %zu MiB wait for clients to take them, and have for %d s",
                   CWSD_MAX_UNSENT_FILE_BYTES / CWSD_MIB, CWSD_FILE_PATIENCE_MS / 1000);
    fail(call, &fault);
}

static void on_read_done(void *ctx, size_t len)
{
    struct file_call *call = ctx;
    free_task(call);
    cwsd_unary_answer_packed(
        &call->unary, cwsd_content_take(&call->content, call->unary.method->types->output, len));
}

static const struct cwsd_file_task_events read_events = {on_read_need, on_read_done, on_failed};

static bool handle_read(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct file_call *call = call_of(unary);
    const cwsd_pb_read_file_request *request = message;
    const struct cwsd_file_request file = {
        .sandbox_id = request->sandbox_id, .container = request->container, .path = request->path};
    call->claim.granted = on_granted;
    call->claim.refused = on_refused;
    call->task = cwsd_file_task_start(cwsd_unary_pool(unary), &file, &read_events, call, fault);
    return call->task != NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void on_write_need(void *ctx, size_t len)
{
    (void)ctx, (void)len; /* only of what is read */
}

static void on_written(void *ctx, size_t len)
{
    struct file_call *call = ctx;
    const cwsd_pb_write_file_response response = COREWEAVE__SANDBOX__V1__WRITE_FILE_RESPONSE__INIT;
    (void)len;
    free_task(call);
    cwsd_unary_answer(&call->unary, &response);
}

static const struct cwsd_file_task_events write_events = {on_write_need, on_written, on_failed};

static bool handle_write(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    struct file_call *call = call_of(unary);
    const cwsd_pb_write_file_request *request = message;
    const struct cwsd_file_request file = {.sandbox_id = request->sandbox_id,
                                           .container = request->container,
                                           .path = request->path,
                                           .writes = true,
                                           .content = request->content.data,
                                           .len = request->content.len};
    call->task = cwsd_file_task_start(cwsd_unary_pool(unary), &file, &write_events, call, fault);
    return call->task != NULL;
}

const struct cwsd_unary_row cwsd_file_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "ReadFile",
     .handle = handle_read,
     .unusable = name_no_file,
     .size = sizeof(struct file_call),
     .closed = file_closed},
    {.path = CWSD_SANDBOX_SERVICE "WriteFile",
     .handle = handle_write,
     .unusable = name_no_file,
     .size = sizeof(struct file_call),
     .closed = file_closed},
    {.path = NULL},
};
