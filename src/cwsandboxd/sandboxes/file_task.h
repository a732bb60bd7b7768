/*
 * Reading or writing one file that a client asked for, from the request to its end. Finds the
 * sandbox, waits until it runs, and turns failures into the service's faults. Loop thread only.
 */
#pragma once

#include "box/file_op.h"
#include "sandboxes/pool.h"

struct cwsd_file_task;

/* What it points to must live until the last event, or until the task is freed. */
struct cwsd_file_request {
    const char *sandbox_id;
    const char *container; /* "": the primary one */
    const char *path;      /* a relative one begins at the sandbox's working directory */
    bool writes;
    const uint8_t *content; /* to be written */
    size_t len;
};

struct cwsd_file_task_events {
    /* As those of box/file_op.h. Free the task after the last one. */
    void (*on_need)(void *ctx, size_t len);
    void (*on_done)(void *ctx, size_t len);
    void (*on_failed)(void *ctx, const struct cwsd_fault *fault);
};

/* Begins, or waits for the sandbox to run. NULL with *fault set for what is known at once: a bad
 * path, too much content, no such sandbox or container, a sandbox that does not run. Otherwise
 * events follow, never from inside this call. */
struct cwsd_file_task *cwsd_file_task_start(struct cwsd_pool *pool,
                                            const struct cwsd_file_request *request,
                                            const struct cwsd_file_task_events *events, void *ctx,
                                            struct cwsd_fault *fault);

/* Only after on_need. */
void cwsd_file_task_give(struct cwsd_file_task *task, uint8_t *memory, size_t len);

/* As cwsd_file_op_free. No more events come. NULL is allowed. */
void cwsd_file_task_free(struct cwsd_file_task *task);
