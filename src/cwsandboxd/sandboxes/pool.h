/*
 * The sandboxes of this daemon, living: records joined with their boxes, lifetimes and those who
 * wait for them. Loop thread only.
 */
#pragma once

#include "box/box.h"
#include "io/timer.h"
#include "store/registry.h"
#include "values/fault.h"

struct cwsd_pool;

struct cwsd_sandbox {
    struct cwsd_record record;
    struct cwsd_pool *pool;
    struct cwsd_box *box; /* NULL once finished */
    struct cws_timer lifetime;
    struct cws_list waiters;   /* of cwsd_waiter.node */
    struct cws_deferred ended; /* frees the box once its last event is over */
};

/* Told once, when the sandbox leaves CREATING; embedded in what waits. */
struct cwsd_waiter {
    struct cws_list node; /* cws_list_init first; cws_list_remove takes the wish back */
    void (*settled)(struct cwsd_waiter *waiter);
};

struct cwsd_pool_options {
    struct cws_loop *loop;
    const struct cwsd_host *host;
    const char *runner_id;
    size_t max_sandboxes;
    /* After cwsd_pool_drain, once, when the last sandbox has ended; never from inside it. */
    void (*on_empty)(void *ctx);
    void *ctx;
};

/* Keeps what the options point at, not copies. NULL when out of memory. */
struct cwsd_pool *cwsd_pool_new(const struct cwsd_pool_options *options);
/* All sandboxes must have ended. NULL is allowed. */
void cwsd_pool_free(struct cwsd_pool *pool);

/* The sandbox for a create request: a new one in CREATING, or the one an identical request with
 * the same request_id made before. May take request->sandbox->spec over. NULL with *fault set:
 * what cwsd_spec_check says; ALREADY_EXISTS for another request under the same id;
 * RESOURCE_EXHAUSTED when full; UNAVAILABLE when ending or the box cannot start. */
struct cwsd_sandbox *cwsd_pool_create(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                      struct cwsd_fault *fault);

/* NULL with *fault set to NOT_FOUND. Finished ones are found as long as their record is kept. */
struct cwsd_sandbox *cwsd_pool_find(struct cwsd_pool *pool, const char *id,
                                    struct cwsd_fault *fault);

/* Stops a sandbox; harmless when it has ended. May be called again with a shorter grace. */
void cwsd_pool_stop(struct cwsd_sandbox *sandbox, enum cwsd_cause cause, uint64_t grace_ms);

/* From now on creates are refused, and all sandboxes are stopped. May be called again with a
 * shorter grace. */
void cwsd_pool_drain(struct cwsd_pool *pool, uint64_t grace_ms);

/* `waiter` is told once the sandbox, now in CREATING, runs or will never run. */
void cwsd_pool_wait(struct cwsd_sandbox *sandbox, struct cwsd_waiter *waiter);

struct cwsd_registry *cwsd_pool_registry(struct cwsd_pool *pool);
const char *cwsd_pool_runner_id(const struct cwsd_pool *pool);
struct cws_loop *cwsd_pool_loop(struct cwsd_pool *pool);
