#include "sandboxes/command.h"

#include <string.h>

#include "base/alloc.h"
#include "box/string_list.h"
#include "sandboxes/tenant.h"
#include "values/argv.h"
#include "values/bounds.h"
#include "values/text.h"

#define DEFAULT_COLUMNS 80
#define DEFAULT_ROWS    24

struct cwsd_command {
    struct cwsd_command_request request; /* until it is started */
    bool with_stdin;
    const struct cwsd_command_events *events;
    void *ctx;
    struct cwsd_tenant tenant;
    struct cwsd_exec *exec;
};

/* ---- the command runs ----------------------------------------------------------------------- */

static void on_started(void *ctx)
{
    struct cwsd_command *command = ctx;
    command->events->on_started(command->ctx);
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct cwsd_command *command = ctx;
    command->events->on_output(command->ctx, is_stderr, data, len);
}

static void on_stdin_drained(void *ctx)
{
    struct cwsd_command *command = ctx;
    command->events->on_stdin_drained(command->ctx);
}

static void on_exited(void *ctx, int exit_code)
{
    struct cwsd_command *command = ctx;
    command->events->on_exited(command->ctx, exit_code);
}

static void on_failed(void *ctx, const struct cws_error *err)
{
    struct cwsd_command *command = ctx;
    struct cwsd_fault fault;
    if (err->status == CWS_CLOSED)
        cwsd_tenant_set_not_running(&command->tenant, "ended while the command ran", &fault);
    else if (err->status == CWS_TOO_LARGE)
        cwsd_fault_set(&fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_OVERLOADED,
                       "the command was not started: %s", err->text);
    else
        cwsd_fault_set(&fault, CWS_GRPC_INTERNAL, CWSD_REASON_INTERNAL, "the command was lost: %s",
                       err->text);
    command->events->on_failed(command->ctx, &fault);
}

static const struct cwsd_exec_events exec_events = {on_started, on_output, on_stdin_drained,
                                                    on_exited,  on_failed, NULL};

/* ---- starting it ---------------------------------------------------------------------------- */

static enum cws_status fill_lists(const struct cwsd_command_request *request,
                                  struct cwsd_string_list *argv,
                                  struct cwsd_string_list *environment)
{
    const struct cwsd_pairs *pairs = &request->environment;
    if (cwsd_string_list_reserve(argv, request->command_count) != CWS_OK ||
        cwsd_string_list_reserve(environment, pairs->count) != CWS_OK)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < request->command_count; i++)
        if (cwsd_string_list_add(argv, request->command[i]) != CWS_OK)
            return CWS_NO_MEMORY;
    for (size_t i = 0; i < pairs->count; i++)
        if (cwsd_string_list_add_pair(environment, cwsd_pairs_key(pairs, i),
                                      cwsd_pairs_value(pairs, i)) != CWS_OK)
            return CWS_NO_MEMORY;
    return CWS_OK;
}

/* A side that is not given is as on any terminal. */
static struct cwsd_exec_size terminal_size(const struct cwsd_command_request *request)
{
    return (struct cwsd_exec_size){
        .columns = (uint16_t)(request->columns ? request->columns : DEFAULT_COLUMNS),
        .rows = (uint16_t)(request->rows ? request->rows : DEFAULT_ROWS),
    };
}

static bool begin(struct cwsd_tenant *tenant, struct cwsd_box *box, struct cwsd_fault *fault)
{
    struct cwsd_command *command = cws_container_of(tenant, struct cwsd_command, tenant);
    const char *cwd = command->request.cwd;
    const struct cwsd_exec_size size = terminal_size(&command->request);
    struct cwsd_exec_options options = {.working_dir = cwd[0] ? cwd : NULL,
                                        .with_stdin = command->with_stdin,
                                        .terminal = command->request.has_terminal ? &size : NULL};
    struct cws_error err = {CWS_NO_MEMORY, ""};
    enum cws_status status = fill_lists(&command->request, &options.command, &options.environment);
    if (status == CWS_OK)
        status = cwsd_exec_start(box, &options, &exec_events, command, &command->exec, &err);
    cwsd_string_list_done(&options.command);
    cwsd_string_list_done(&options.environment);
    switch (status) {
    case CWS_OK:
        return true;
    case CWS_NO_MEMORY:
        return cwsd_fault_set_memory(fault);
    case CWS_INVALID:
        return cwsd_fault_set_invalid(fault, "command", "%s", err.text);
    case CWS_TOO_LARGE: /* the command is fine; there are too many */
        return cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_OVERLOADED, "%s",
                              err.text);
    case CWS_CLOSED:
        return cwsd_tenant_set_not_running(tenant, "is ending", fault);
    default:
        return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                              "the command cannot be started: %s", err.text);
    }
}

static void refused(struct cwsd_tenant *tenant, const struct cwsd_fault *fault)
{
    struct cwsd_command *command = cws_container_of(tenant, struct cwsd_command, tenant);
    command->events->on_failed(command->ctx, fault);
}

/* Whether it is there, the command finds out. */
static bool check_cwd(const char *cwd, struct cwsd_fault *fault)
{
    size_t len = strlen(cwd);
    if (len > CWSD_MAX_PATH_BYTES)
        return cwsd_fault_set_invalid(fault, "cwd", "has %zu bytes; the kernel takes at most %d",
                                      len, CWSD_MAX_PATH_BYTES);
    if (len == 0 || cwd[0] == '/')
        return true;
    return cwsd_fault_set_invalid(fault, "cwd", "\"%s\" must be an absolute path",
                                  cwsd_text_short(cwd).text);
}

static bool check_size(uint32_t columns, uint32_t rows, struct cwsd_fault *fault)
{
    if (columns <= UINT16_MAX && rows <= UINT16_MAX)
        return true;
    return cwsd_fault_set_invalid(fault, columns > UINT16_MAX ? "width" : "height",
                                  "%u is more than a terminal can have, %d",
                                  columns > UINT16_MAX ? columns : rows, UINT16_MAX);
}

static bool check(const struct cwsd_command_request *request, struct cwsd_fault *fault)
{
    size_t count = request->command_count;
    struct cwsd_pairs environment = request->environment;
    return cwsd_argv_check("command", count ? request->command[0] : "",
                           request->command + (count > 0), count ? count - 1 : 0, fault) &&
           cwsd_argv_check_environment("env", &environment, fault) &&
           check_cwd(request->cwd, fault) && check_size(request->columns, request->rows, fault);
}

struct cwsd_command *cwsd_command_start(struct cwsd_pool *pool,
                                        const struct cwsd_command_request *request, bool with_stdin,
                                        const struct cwsd_command_events *events, void *ctx,
                                        struct cwsd_fault *fault)
{
    struct cwsd_container *container =
        cwsd_tenant_find(pool, request->sandbox_id, request->container, fault);
    if (!container || !check(request, fault))
        return NULL;
    struct cwsd_command *command = cws_calloc(1, sizeof(*command));
    if (!command) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    command->request = *request;
    command->with_stdin = with_stdin;
    command->events = events;
    command->ctx = ctx;
    command->tenant.begin = begin;
    command->tenant.refused = refused;
    if (cwsd_tenant_enter(&command->tenant, container, fault))
        return command;
    cws_free(command);
    return NULL;
}

enum cws_status cwsd_command_write(struct cwsd_command *command, const uint8_t *data, size_t len)
{
    return cwsd_exec_write(command->exec, data, len);
}

size_t cwsd_command_stdin_pending(const struct cwsd_command *command)
{
    return cwsd_exec_stdin_pending(command->exec);
}

void cwsd_command_close_stdin(struct cwsd_command *command)
{
    cwsd_exec_close_stdin(command->exec);
}

bool cwsd_command_resize(struct cwsd_command *command, uint32_t columns, uint32_t rows,
                         struct cwsd_fault *fault)
{
    if (!check_size(columns, rows, fault))
        return false;
    const struct cwsd_exec_size size = {(uint16_t)columns, (uint16_t)rows};
    if (columns && rows)
        cwsd_exec_resize(command->exec, &size);
    return true;
}

void cwsd_command_hang_up(struct cwsd_command *command)
{
    cwsd_exec_hang_up(command->exec);
}

void cwsd_command_pause(struct cwsd_command *command, bool paused)
{
    cwsd_exec_pause(command->exec, paused);
}

void cwsd_command_free(struct cwsd_command *command)
{
    if (!command)
        return;
    cwsd_tenant_leave(&command->tenant);
    if (command->exec)
        cwsd_exec_free(command->exec);
    cws_free(command);
}
