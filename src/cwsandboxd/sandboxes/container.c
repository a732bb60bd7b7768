#include "sandboxes/container.h"

#include <unistd.h>

#include "sandboxes/launch.h"

/* ---- what the box says ---------------------------------------------------------------------- */

static void on_volumes(void *ctx)
{
    struct cwsd_container *container = ctx;
    container->events->on_volumes(container);
}

static void on_lent(void *ctx)
{
    struct cwsd_container *container = ctx;
    container->events->on_lent(container);
}

static void on_running(void *ctx)
{
    struct cwsd_container *container = ctx;
    cwsd_row_running(container->row);
    container->events->on_running(container);
}

/* Whoever waits for its answer need not any more. */
static void miss_usage(struct cwsd_container *container)
{
    if (!container->usage_asked)
        return;
    container->usage_asked = false;
    container->events->on_usage(container, NULL);
}

static void on_exited(void *ctx, int exit_code)
{
    struct cwsd_container *container = ctx;
    cwsd_row_exited(container->row, exit_code);
    container->events->on_exited(container);
    miss_usage(container);
}

static void on_usage(void *ctx, const struct cwsi_usage *usage)
{
    struct cwsd_container *container = ctx;
    container->usage_asked = false;
    container->events->on_usage(container, usage);
}

static void on_gone(void *ctx, const struct cws_error *err)
{
    struct cwsd_container *container = ctx;
    cwsd_row_gone(container->row);
    container->events->on_gone(container, err);
    miss_usage(container);
    cwsd_log_end(container->log);
}

static const struct cwsd_box_events box_events = {.on_running = on_running,
                                                  .on_exited = on_exited,
                                                  .on_volumes = on_volumes,
                                                  .on_lent = on_lent,
                                                  .on_usage = on_usage,
                                                  .on_gone = on_gone};

static void on_log_grown(struct cwsd_log_listener *listener)
{
    struct cwsd_container *container =
        cws_container_of(listener, struct cwsd_container, log_changed);
    if (container->log->disk_fails)
        cwsd_log_shelf_drop_oldest(container->shelf); /* room for those that live */
    if (!container->log->ended)
        return;
    cws_list_remove(&listener->node);
    container->events->on_over(container);
}

/* ---- its life ------------------------------------------------------------------------------- */

enum cws_status cwsd_container_init(struct cwsd_container *container, struct cws_loop *loop,
                                    const char *log_path, uint64_t log_bytes)
{
    container->log = cwsd_log_new(loop, log_path, log_bytes);
    if (!container->log)
        return CWS_NO_MEMORY;
    cws_list_init(&container->on_shelf.node);
    container->on_shelf.log = container->log;
    container->log_changed.grown = on_log_grown;
    cws_list_push_back(&container->log->listeners, &container->log_changed.node);
    return CWS_OK;
}

void cwsd_container_done(struct cwsd_container *container)
{
    if (!container->log)
        return;
    cwsd_log_shelf_remove(container->shelf, &container->on_shelf);
    cws_list_remove(&container->log_changed.node);
    cwsd_log_unref(container->log);
    container->log = NULL;
}

static bool set_fault(enum cws_status status, const struct cws_error *err, struct cwsd_fault *fault)
{
    if (status == CWS_NO_MEMORY)
        return cwsd_fault_set_memory(fault);
    if (status == CWS_INVALID || status == CWS_TOO_LARGE) {
        cwsd_fault_set_invalid(fault, "sandbox.spec", "%s", err->text);
        if (status == CWS_TOO_LARGE)
            fault->reason = CWSD_REASON_RESOURCE_CEILING;
        return false;
    }
    return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                          "the sandbox cannot be started: %s", err->text);
}

bool cwsd_container_start(struct cwsd_container *container,
                          const struct cwsd_container_options *options, struct cwsd_fault *fault)
{
    struct cwsd_launch launch;
    struct cws_error err;
    enum cws_status status = CWS_OK;
    if (!cwsd_launch_init(&launch, options->sandbox_id, options->spec, container->spec,
                          options->home, options->secrets_dir, options->claims, fault))
        return false;
    launch.options.room = options->room;
    launch.options.hold_volumes = options->restores && !options->home;
    if (launch.options.command.count)
        status = cwsd_log_open(container->log, &launch.options.output_fd, &err);
    if (status == CWS_OK)
        status = cwsd_box_new(options->loop, options->host, &launch.options, &box_events, container,
                              &container->box, &err);
    if (launch.options.output_fd)
        close(launch.options.output_fd);
    cwsd_launch_done(&launch);
    return status == CWS_OK || set_fault(status, &err, fault);
}

void cwsd_container_skip(struct cwsd_container *container)
{
    cwsd_row_gone(container->row);
    cwsd_log_end(container->log);
}

void cwsd_container_stop(struct cwsd_container *container, uint64_t grace_ms)
{
    if (!container->box || cwsd_row_is_finished(container->row))
        return;
    cwsd_row_stopping(container->row);
    cwsd_box_stop(container->box, grace_ms);
}

bool cwsd_container_ask_usage(struct cwsd_container *container)
{
    container->usage_asked = container->box && cwsd_box_ask_usage(container->box);
    return container->usage_asked;
}
