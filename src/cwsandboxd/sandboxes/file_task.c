#include "sandboxes/file_task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cwsandbox-init/protocol.h"
#include "sandboxes/tenant.h"
#include "values/bounds.h"

struct cwsd_file_task {
    struct cwsd_file_request request;
    const struct cwsd_file_task_events *events;
    void *ctx;
    struct cwsd_tenant tenant;
    struct cwsd_file_op *op;
};

/* ---- faults --------------------------------------------------------------------------------- */

/* What an operation can meet inside a sandbox. */
static const struct {
    int number;
    enum cws_grpc_code code;
    const char *reason;
    const char *text; /* NULL: strerror's */
} troubles[] = {
    {ENOENT, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, NULL},
    {ENOTDIR, CWS_GRPC_NOT_FOUND, CWSD_REASON_FILE_NOT_FOUND, NULL},
    {EISDIR, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FILE_IS_DIRECTORY, NULL},
    {EACCES, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_FILE_PERMISSION, NULL},
    {EPERM, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_FILE_PERMISSION, NULL},
    {EROFS, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_FILE_PERMISSION, NULL},
    {EBUSY, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_FILE_PERMISSION,
     "is mounted by itself and cannot be replaced"},
    {ENOSPC, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_IO_FAILED, NULL},
    {EDQUOT, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_IO_FAILED, NULL},
    {EFBIG, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_IO_FAILED, NULL},
    {ENOMEM, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_IO_FAILED, NULL},
    {ENAMETOOLONG, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_FILE_IO_FAILED, NULL},
    {ELOOP, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FILE_IO_FAILED, NULL},
    {CWSI_FILE_NOT_REGULAR, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FILE_IO_FAILED,
     "is not a regular file"},
};

static void note_operation(const struct cwsd_file_request *request, struct cwsd_fault *fault)
{
    cwsd_fault_note(fault, "operation", request->writes ? "write_file" : "read_file");
}

static bool set_too_large(const struct cwsd_file_request *request, uint64_t size,
                          struct cwsd_fault *fault)
{
    char number[24];
    cwsd_fault_set_file(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FILE_TOO_LARGE,
                        request->path, "has %llu bytes; at most %zu can be %s in one message",
                        (unsigned long long)size, CWSD_MAX_FILE_MESSAGE_BYTES,
                        request->writes ? "written" : "read");
    snprintf(number, sizeof(number), "%llu", (unsigned long long)size);
    cwsd_fault_note(fault, "size_bytes", number);
    snprintf(number, sizeof(number), "%zu", CWSD_MAX_FILE_MESSAGE_BYTES);
    cwsd_fault_note(fault, "max_size_bytes", number);
    note_operation(request, fault);
    return false;
}

static bool set_trouble(const struct cwsd_file_request *request, int number,
                        struct cwsd_fault *fault)
{
    enum cws_grpc_code code = CWS_GRPC_INTERNAL;
    const char *reason = CWSD_REASON_FILE_IO_FAILED;
    const char *text = NULL;
    for (size_t i = 0; i < CWS_ARRAY_LEN(troubles); i++)
        if (troubles[i].number == number) {
            code = troubles[i].code;
            reason = troubles[i].reason;
            text = troubles[i].text;
        }
    cwsd_fault_set_file(fault, code, reason, request->path, "%s", text ? text : strerror(number));
    note_operation(request, fault);
    return false;
}

/* It never came to look at the file, or was broken off. */
static bool set_broken(const struct cwsd_file_task *task, const struct cws_error *err,
                       struct cwsd_fault *fault)
{
    switch (err->status) {
    case CWS_NO_MEMORY:
        return cwsd_fault_set_memory(fault);
    case CWS_CLOSED:
        return cwsd_tenant_set_not_running(&task->tenant, "is ending", fault);
    case CWS_TOO_LARGE: /* nothing is wrong with the file; there are too many commands */
        return cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_OVERLOADED, "%s",
                              err->text);
    default:
        cwsd_fault_set_file(fault, CWS_GRPC_INTERNAL, CWSD_REASON_FILE_IO_FAILED,
                            task->request.path, "%s", err->text);
        note_operation(&task->request, fault);
        return false;
    }
}

/* ---- the operation runs --------------------------------------------------------------------- */

static void on_need(void *ctx, size_t len)
{
    struct cwsd_file_task *task = ctx;
    task->events->on_need(task->ctx, len);
}

static void on_done(void *ctx, size_t len)
{
    struct cwsd_file_task *task = ctx;
    task->events->on_done(task->ctx, len);
}

static void on_failed(void *ctx, const struct cwsd_file_op_failure *failure)
{
    struct cwsd_file_task *task = ctx;
    struct cwsd_fault fault;
    if (failure->number == CWSI_FILE_TOO_LARGE)
        set_too_large(&task->request, failure->size, &fault);
    else if (failure->number)
        set_trouble(&task->request, failure->number, &fault);
    else if (failure->err.status == CWS_CLOSED)
        cwsd_tenant_set_not_running(&task->tenant,
                                    task->request.writes ? "ended while the file was written"
                                                         : "ended while the file was read",
                                    &fault);
    else
        set_broken(task, &failure->err, &fault);
    task->events->on_failed(task->ctx, &fault);
}

static const struct cwsd_file_op_events op_events = {on_need, on_done, on_failed};

static bool begin(struct cwsd_tenant *tenant, struct cwsd_box *box, struct cwsd_fault *fault)
{
    struct cwsd_file_task *task = cws_container_of(tenant, struct cwsd_file_task, tenant);
    const struct cwsd_file_request *request = &task->request;
    struct cws_error err;
    enum cws_status status;
    if (request->writes)
        status = cwsd_file_op_write(box, request->path, request->content, request->len, &op_events,
                                    task, &task->op, &err);
    else
        status = cwsd_file_op_read(box, request->path, CWSD_MAX_FILE_MESSAGE_BYTES, &op_events,
                                   task, &task->op, &err);
    return status == CWS_OK || set_broken(task, &err, fault);
}

static void refused(struct cwsd_tenant *tenant, const struct cwsd_fault *fault)
{
    struct cwsd_file_task *task = cws_container_of(tenant, struct cwsd_file_task, tenant);
    task->events->on_failed(task->ctx, fault);
}

/* ---- its life ------------------------------------------------------------------------------- */

static bool check(const struct cwsd_file_request *request, struct cwsd_fault *fault)
{
    if (strlen(request->path) > CWSD_MAX_PATH_BYTES)
        return set_trouble(request, ENAMETOOLONG, fault);
    if (request->len > CWSD_MAX_FILE_MESSAGE_BYTES)
        return set_too_large(request, request->len, fault);
    return true;
}

struct cwsd_file_task *cwsd_file_task_start(struct cwsd_pool *pool,
                                            const struct cwsd_file_request *request,
                                            const struct cwsd_file_task_events *events, void *ctx,
                                            struct cwsd_fault *fault)
{
    struct cwsd_container *container =
        cwsd_tenant_find(pool, request->sandbox_id, request->container, fault);
    if (!container || !check(request, fault))
        return NULL;
    struct cwsd_file_task *task = cws_calloc(1, sizeof(*task));
    if (!task) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    task->request = *request;
    task->events = events;
    task->ctx = ctx;
    task->tenant.begin = begin;
    task->tenant.refused = refused;
    if (cwsd_tenant_enter(&task->tenant, container, fault))
        return task;
    cws_free(task);
    return NULL;
}

void cwsd_file_task_give(struct cwsd_file_task *task, uint8_t *memory, size_t len)
{
    cwsd_file_op_give(task->op, memory, len);
}

void cwsd_file_task_free(struct cwsd_file_task *task)
{
    if (!task)
        return;
    cwsd_tenant_leave(&task->tenant);
    if (task->op)
        cwsd_file_op_free(task->op);
    cws_free(task);
}
