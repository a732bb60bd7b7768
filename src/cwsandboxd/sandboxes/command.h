/*
 * One command a client asked for, from the request to its end: finds the sandbox, holds the command
 * until the sandbox runs, starts it, and puts failures into the words of the service. Loop thread
 * only.
 */
#pragma once

#include "box/exec.h"
#include "sandboxes/pool.h"
#include "values/pairs.h"

struct cwsd_command;

/* Views the request: it must outlive on_started, or the free. */
struct cwsd_command_request {
    const char *sandbox_id;
    const char *container; /* "": the primary one */
    char *const *command;
    size_t command_count;
    struct cwsd_pairs environment;
    const char *cwd; /* "": the sandbox's own */
};

struct cwsd_command_events {
    void (*on_started)(void *ctx);
    void (*on_output)(void *ctx, bool is_stderr, const uint8_t *data, size_t len);
    void (*on_stdin_drained)(void *ctx);
    /* Last; free the command now or later. */
    void (*on_exited)(void *ctx, int exit_code);
    /* Last, instead: the sandbox never ran, ended, or lost the command. */
    void (*on_failed)(void *ctx, const struct cwsd_fault *fault);
};

/* NULL with *fault set for what is known at once: bad request, no such sandbox or container,
 * sandbox not running. Otherwise events follow, never from inside this call. */
struct cwsd_command *cwsd_command_start(struct cwsd_pool *pool,
                                        const struct cwsd_command_request *request, bool with_stdin,
                                        const struct cwsd_command_events *events, void *ctx,
                                        struct cwsd_fault *fault);

/* Between on_started and the last event only. */
enum cws_status cwsd_command_write(struct cwsd_command *command, const uint8_t *data,
                                   size_t len) CWS_MUST_CHECK;
size_t cwsd_command_stdin_pending(const struct cwsd_command *command);
void cwsd_command_close_stdin(struct cwsd_command *command);
void cwsd_command_pause(struct cwsd_command *command, bool paused);

/* Kills the command's process group if it still runs. No further event. NULL is allowed. */
void cwsd_command_free(struct cwsd_command *command);
