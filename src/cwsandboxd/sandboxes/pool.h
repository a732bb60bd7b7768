/*
 * The daemon's sandboxes: each is a record joined with its containers, its lifetime and those who
 * wait for it. Loop thread only.
 */
#pragma once

#include "box/room.h"
#include "io/timer.h"
#include "sandboxes/archives.h"
#include "sandboxes/container.h"
#include "sandboxes/endpoints.h"
#include "sandboxes/health.h"
#include "sandboxes/usage.h"
#include "store/registry.h"
#include "values/fault.h"

struct cwsd_pool;

struct cwsd_sandbox {
    struct cwsd_record record;
    struct cwsd_pool *pool;
    struct cwsd_room *room; /* of several containers, or one whose network leads to others; NULL
                             * once they have ended */
    struct cwsd_container *containers; /* in the order of the spec */
    size_t container_count;
    struct cwsd_container *primary; /* its end is the sandbox's */
    size_t starting;                /* containers that do not run yet */
    size_t living;                  /* containers of whose boxes something may be left */
    size_t open;                    /* containers that are not over */
    bool broken;                    /* record.reason says by what */
    bool others_wait;               /* all containers but the first are not started yet */
    struct cwsd_plan *plan;         /* NULL: all start at once */
    struct cwsd_health *health;     /* with a plan, one for each container */
    struct cws_timer lifetime;
    struct cwsd_endpoints *endpoints; /* NULL: none (any more) */
    struct cwsd_box *serving;         /* what they lead to: the primary box while the sandbox runs,
                                       * else NULL */
    struct cwsd_restore *restore;     /* until its volumes are as in their snapshots; NULL: none */
    struct cwsd_usage usage;          /* once it runs */
    struct cws_list waiters;          /* of cwsd_waiter.node */
    struct cws_deferred ended;        /* frees the boxes once their last events are over */
};

/* Notified once, when the sandbox leaves CREATING. Embedded in the object that waits. */
struct cwsd_waiter {
    struct cws_list node; /* call cws_list_init first; cws_list_remove unregisters it */
    void (*settled)(struct cwsd_waiter *waiter);
};

struct cwsd_pool_options {
    struct cws_loop *loop;
    const struct cwsd_host *host;
    const char *runner_id;
    size_t max_sandboxes;
    const char *log_dir;                 /* for the files of the sandboxes' logs, and no others */
    uint64_t log_bytes;                  /* the size of each */
    struct cws_tls_config *endpoint_tls; /* for HTTPS endpoints of services */
    const char *secrets_dir;             /* NULL: there are no secret stores */
    const struct cwsd_claims *claims;    /* NULL: no sandbox can have registered volumes */
    struct cwsd_egress *egress;          /* NULL: no network leads to others */
    struct cwsd_database *database;      /* for the records; NULL: they go with the pool */
    struct cwsd_archives *archives;      /* NULL: there are no snapshots */
    /* Called once after cwsd_pool_drain, when the last sandbox has ended; never from inside that
     * call. */
    void (*on_empty)(void *ctx);
    /* A sandbox that goes on reaches no other network any more: `why`. */
    void (*on_egress_lost)(void *ctx, const char *id, const char *why);
    void *ctx;
};

/* With the records of the database: sandboxes that lived when it was written have ended, FAILED
 * unless they had been stopped or were over. What the options point to must outlive the pool.
 * CWS_NO_MEMORY, or the database's failure. */
enum cws_status cwsd_pool_new(const struct cwsd_pool_options *options, struct cwsd_pool **out_pool,
                              struct cws_error *err) CWS_MUST_CHECK;
/* Writes what has changed of sandboxes and could not be written yet. False: it still cannot. */
bool cwsd_pool_flush(struct cwsd_pool *pool);
/* Only after all sandboxes have ended. NULL is allowed. */
void cwsd_pool_free(struct cwsd_pool *pool);

/* The sandbox for a create request: a new one in CREATING, or the one that an identical request
 * with the same request_id made earlier. May take request->sandbox->spec over. NULL with *fault
 * set: the faults of cwsd_spec_check; ALREADY_EXISTS if a different request has used the id;
 * RESOURCE_EXHAUSTED if the daemon or its disk is full; UNAVAILABLE if it is ending or the box
 * cannot be started. */
struct cwsd_sandbox *cwsd_pool_create(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                      struct cwsd_fault *fault);

/* What a sandbox was made from, if the request for it was not a create request. */
struct cwsd_origin {
    struct cwsd_digest digest; /* of that request */
    const char *template_id;   /* NULL: no template */
    int64_t template_revision;
    struct cwsd_plan **plan; /* NULL: none. Taken over with the spec */
};

/* As cwsd_pool_create, for a request that stands for another one; origin NULL: it does not. */
struct cwsd_sandbox *cwsd_pool_create_from(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                           const struct cwsd_origin *origin,
                                           struct cwsd_fault *fault);

/* The sandbox that an earlier request with this id made. NULL if there is none ("" finds none), or
 * with *fault ALREADY_EXISTS if that was another request. */
struct cwsd_sandbox *cwsd_pool_find_repeated(struct cwsd_pool *pool, const char *request_id,
                                             struct cwsd_digest digest, struct cwsd_fault *fault);

/* Finds a sandbox; a finished one as long as its record is kept. NULL with *fault NOT_FOUND. */
struct cwsd_sandbox *cwsd_pool_find(struct cwsd_pool *pool, const char *id,
                                    struct cwsd_fault *fault);

/* The commands in all containers of a sandbox that has not ended. */
struct cwsd_box_execs cwsd_pool_execs(const struct cwsd_sandbox *sandbox);

/* Deletes a sandbox: as cwsd_pool_stop, or, of one that has ended, notes that it was deleted. */
void cwsd_pool_delete(struct cwsd_sandbox *sandbox, uint64_t grace_ms);

/* Stops a sandbox. Harmless if it has ended. May be called again with a shorter grace period. */
void cwsd_pool_stop(struct cwsd_sandbox *sandbox, enum cwsd_cause cause, uint64_t grace_ms);

/* Refuses creates from now on, and stops all sandboxes. May be called again with a shorter grace
 * period. */
void cwsd_pool_drain(struct cwsd_pool *pool, uint64_t grace_ms);

/* Whether creates are refused since cwsd_pool_drain was called. */
bool cwsd_pool_is_draining(const struct cwsd_pool *pool);

/* A client is being told how a sandbox goes on, and is to hear its end, too. After
 * cwsd_pool_drain, on_empty waits until every hold is released, but for CWSD_FAREWELL_MS at most.
 */
void cwsd_pool_hold(struct cwsd_pool *pool);
void cwsd_pool_release(struct cwsd_pool *pool);

/* Registers a waiter on a sandbox in CREATING. It is notified when the sandbox runs, or when it
 * never will. */
void cwsd_pool_wait(struct cwsd_sandbox *sandbox, struct cwsd_waiter *waiter);

struct cwsd_registry *cwsd_pool_registry(struct cwsd_pool *pool);
const char *cwsd_pool_runner_id(const struct cwsd_pool *pool);
struct cwsd_archives *cwsd_pool_archives(const struct cwsd_pool *pool);
struct cws_loop *cwsd_pool_loop(struct cwsd_pool *pool);
