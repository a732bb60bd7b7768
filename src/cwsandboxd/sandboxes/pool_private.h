/* The parts of the pool: what its files share. Loop thread only. */
#pragma once

#include "sandboxes/keeper.h"
#include "sandboxes/pool.h"

/* Of the names of logs' files. */
#define CWSD_LOG_PREFIX "log-"

struct cwsd_pool {
    struct cwsd_pool_options options;
    struct cwsd_registry registry;
    struct cwsd_keeper keeper;
    struct cwsd_log_shelf shelf;
    size_t holds;
    struct cws_timer farewell;
    bool draining;
    bool empty_told;
};

/* A sandbox of this pool without containers, its record in CREATING. To be freed with the
 * registry's `release`. NULL when out of memory. pool.c. */
struct cwsd_sandbox *cwsd_pool_new_sandbox(struct cwsd_pool *pool);
/* Gives it the containers of its record's spec. CWS_NO_MEMORY. pool_containers.c. */
enum cws_status cwsd_pool_add_containers(struct cwsd_sandbox *sandbox,
                                         const struct cwsd_container_events *events) CWS_MUST_CHECK;

/* Starts them; those that are lent volumes once the first one can lend them. False with *fault set
 * if nothing has been started. A fault later on is the sandbox's end. pool_containers.c. */
bool cwsd_pool_start_containers(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault);
/* The containers but the first: the start that they waited for, or that there will be none. */
void cwsd_pool_start_others(struct cwsd_sandbox *sandbox);
void cwsd_pool_skip_others(struct cwsd_sandbox *sandbox);

/* With a plan: starts those containers that need wait no longer, or gives up all that wait if the
 * sandbox is ending. pool_order.c, as the next three. */
void cwsd_pool_go_on(struct cwsd_sandbox *sandbox);
/* Starts what need not wait. As cwsd_pool_start_containers. */
bool cwsd_pool_start_planned(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault);
/* The container runs. False: it counts once its health check has passed. */
bool cwsd_pool_is_ready(struct cwsd_container *container);
/* It has ended, perhaps too early for others. */
void cwsd_pool_note_end(struct cwsd_container *container);
/* It runs, and is healthy if it has a check. pool.c. */
void cwsd_pool_count_ready(struct cwsd_sandbox *sandbox);

/* Starts one container. False with *fault set. And the end of one that could not be started.
 * pool_containers.c. */
bool cwsd_pool_start_container(struct cwsd_sandbox *sandbox, size_t at, struct cwsd_fault *fault);
void cwsd_pool_give_up(struct cwsd_container *container, const struct cwsd_fault *fault);

/* The sandbox cannot go on: it ends FAILED, for the first such reason. pool.c. */
void cwsd_pool_break(struct cwsd_container *container, const char *why);

/* Takes over what an earlier daemon has left in the database. CWS_NO_MEMORY, or the database's
 * failure. pool_restore.c. */
enum cws_status cwsd_pool_restore(struct cwsd_pool *pool, struct cws_error *err) CWS_MUST_CHECK;
