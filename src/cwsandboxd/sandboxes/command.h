/*
 * One command that a client asked for, from the request to its end. Finds the sandbox, waits until
 * it runs, starts the command, and turns failures into the service's faults. Loop thread only.
 */
#pragma once

#include "box/exec.h"
#include "sandboxes/pool.h"
#include "values/pairs.h"

struct cwsd_command;

/* Points into the request message, which must live until on_started, or until the command is
 * freed. */
struct cwsd_command_request {
    const char *sandbox_id;
    const char *container; /* "": the primary one */
    char *const *command;
    size_t command_count;
    struct cwsd_pairs environment;
    const char *cwd;        /* "": the sandbox's own */
    bool has_terminal;      /* then all output comes as stdout */
    uint32_t columns, rows; /* the terminal's; 0: as usual, 80 and 24 */
};

struct cwsd_command_events {
    void (*on_started)(void *ctx);
    void (*on_output)(void *ctx, bool is_stderr, const uint8_t *data, size_t len);
    void (*on_stdin_drained)(void *ctx);
    /* The last event. Free the command now or later. */
    void (*on_exited)(void *ctx, int exit_code);
    /* The last event instead of on_exited: the sandbox never ran, has ended, or lost the
     * command. */
    void (*on_failed)(void *ctx, const struct cwsd_fault *fault);
};

/* Starts the command, or waits for its sandbox to run. NULL with *fault set for what is known at
 * once: a bad request, no such sandbox or container, a sandbox that does not run. Otherwise events
 * follow, never from inside this call. */
struct cwsd_command *cwsd_command_start(struct cwsd_pool *pool,
                                        const struct cwsd_command_request *request, bool with_stdin,
                                        const struct cwsd_command_events *events, void *ctx,
                                        struct cwsd_fault *fault);

/* This and the next five only between on_started and the last event. CWS_NO_MEMORY and
 * CWS_TOO_LARGE as cwsd_exec_write. */
enum cws_status cwsd_command_write(struct cwsd_command *command, const uint8_t *data,
                                   size_t len) CWS_MUST_CHECK;
size_t cwsd_command_stdin_pending(const struct cwsd_command *command);
void cwsd_command_close_stdin(struct cwsd_command *command);
/* For a command with a terminal. Without a size, that is with a 0, nothing happens. False with
 * *fault set: a terminal cannot be that large. */
bool cwsd_command_resize(struct cwsd_command *command, uint32_t columns, uint32_t rows,
                         struct cwsd_fault *fault);
/* As cwsd_exec_hang_up. */
void cwsd_command_hang_up(struct cwsd_command *command);
void cwsd_command_pause(struct cwsd_command *command, bool paused);

/* Frees the command, and kills its process group if it still runs. No more events come. NULL is
 * allowed. */
void cwsd_command_free(struct cwsd_command *command);
