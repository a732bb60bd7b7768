#include "sandboxes/pool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sandboxes/launch.h"
#include "values/bounds.h"
#include "values/spec.h"
#include "values/text.h"
#include "values/wire.h"

struct cwsd_pool {
    struct cwsd_pool_options options;
    struct cwsd_registry registry;
    struct cws_list logs; /* of cwsd_sandbox.with_log: finished ones, by end */
    uint64_t logs_bytes;  /* of their files */
    size_t holds;
    struct cws_timer farewell;
    bool draining;
    bool empty_told;
};

static struct timespec wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now;
}

/* ---- finished logs -------------------------------------------------------------------------- */

static void drop_log(struct cwsd_sandbox *sandbox)
{
    if (!cws_list_is_empty(&sandbox->with_log))
        sandbox->pool->logs_bytes -= cwsd_ring_size(&sandbox->log->ring);
    cws_list_remove(&sandbox->with_log);
}

static void forget_oldest_log(struct cwsd_pool *pool)
{
    if (cws_list_is_empty(&pool->logs))
        return;
    struct cwsd_sandbox *oldest = cws_list_entry(pool->logs.next, struct cwsd_sandbox, with_log);
    drop_log(oldest);
    cwsd_log_forget(oldest->log);
}

/* Finished sandboxes keep their logs, as far as these take no more than so many full ones. */
static void keep_log(struct cwsd_sandbox *sandbox)
{
    struct cwsd_pool *pool = sandbox->pool;
    uint64_t size = cwsd_ring_size(&sandbox->log->ring);
    if (size == 0)
        return;
    cws_list_push_back(&pool->logs, &sandbox->with_log);
    pool->logs_bytes += size;
    while (pool->logs_bytes / CWSD_MAX_FINISHED_LOGS >= pool->options.log_bytes)
        forget_oldest_log(pool);
}

/* ---- what the box says ---------------------------------------------------------------------- */

static void tell_waiters(struct cwsd_sandbox *sandbox)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&sandbox->waiters)) != NULL) {
        struct cwsd_waiter *waiter = cws_list_entry(node, struct cwsd_waiter, node);
        waiter->settled(waiter);
    }
}

static void settle_end(struct cwsd_sandbox *sandbox)
{
    cws_loop_defer(sandbox->pool->options.loop, &sandbox->ended);
}

static void on_running(void *ctx)
{
    struct cwsd_sandbox *sandbox = ctx;
    cwsd_record_running(&sandbox->record, wall_clock());
    sandbox->serving = sandbox->box;
    cwsd_usage_init(&sandbox->usage, cws_clock_now_ns());
    tell_waiters(sandbox);
}

static void on_usage(void *ctx, const struct cwsi_usage *usage)
{
    struct cwsd_sandbox *sandbox = ctx;
    cwsd_usage_note(&sandbox->usage, usage, cws_clock_now_ns());
}

/* Before the box goes down: connections into it are commands of it. */
static void end_service(struct cwsd_sandbox *sandbox)
{
    cwsd_endpoints_close(sandbox->endpoints);
    sandbox->endpoints = NULL;
    sandbox->serving = NULL;
}

static void on_exited(void *ctx, int exit_code)
{
    struct cwsd_sandbox *sandbox = ctx;
    end_service(sandbox);
    cwsd_record_exited(&sandbox->record, exit_code);
    cwsd_usage_end(&sandbox->usage);
    tell_waiters(sandbox);
}

static void on_gone(void *ctx, const struct cws_error *err)
{
    struct cwsd_sandbox *sandbox = ctx;
    end_service(sandbox);
    cwsd_record_gone(&sandbox->record, err ? err->text : NULL, wall_clock());
    cws_timer_cancel(sandbox->pool->options.loop, &sandbox->lifetime);
    cwsd_usage_end(&sandbox->usage);
    tell_waiters(sandbox);
    cwsd_log_end(sandbox->log);
}

/* The sandbox counts as living until its log is whole. That comes after on_gone. */
static void on_log_grown(struct cwsd_log_listener *listener)
{
    struct cwsd_sandbox *sandbox = cws_container_of(listener, struct cwsd_sandbox, log_changed);
    if (sandbox->log->disk_fails)
        forget_oldest_log(sandbox->pool); /* room for those that live */
    if (!sandbox->log->ended)
        return;
    cws_list_remove(&listener->node);
    settle_end(sandbox);
}

static bool is_empty(const struct cwsd_pool *pool)
{
    return pool->draining && !pool->empty_told && pool->registry.live == 0;
}

static void tell_empty(struct cwsd_pool *pool)
{
    cws_timer_cancel(pool->options.loop, &pool->farewell);
    pool->empty_told = true;
    pool->options.on_empty(pool->options.ctx);
}

static void on_farewell(struct cws_timer *timer)
{
    tell_empty(cws_container_of(timer, struct cwsd_pool, farewell));
}

static void note_end(struct cwsd_pool *pool)
{
    uint64_t due_ns = cws_clock_now_ns() + CWSD_FAREWELL_MS * CWS_NS_PER_MS;
    if (!is_empty(pool))
        return;
    if (pool->holds == 0 || cws_timer_set(pool->options.loop, &pool->farewell, due_ns) != CWS_OK)
        tell_empty(pool);
}

void cwsd_pool_hold(struct cwsd_pool *pool)
{
    pool->holds++;
}

void cwsd_pool_release(struct cwsd_pool *pool)
{
    if (--pool->holds == 0 && is_empty(pool))
        tell_empty(pool);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* After on_gone, outside of the box's own calls. */
static void end(struct cws_deferred *deferred)
{
    struct cwsd_sandbox *sandbox = cws_container_of(deferred, struct cwsd_sandbox, ended);
    struct cwsd_pool *pool = sandbox->pool;
    cwsd_box_free(sandbox->box);
    sandbox->box = NULL;
    keep_log(sandbox);
    cwsd_registry_finish(&pool->registry, &sandbox->record); /* may release this very sandbox */
    note_end(pool);
}

static void on_lifetime(struct cws_timer *timer)
{
    struct cwsd_sandbox *sandbox = cws_container_of(timer, struct cwsd_sandbox, lifetime);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_LIFETIME, CWSD_LIFETIME_GRACE_S * 1000ull);
}

static const struct cwsd_box_events box_events = {
    .on_running = on_running, .on_exited = on_exited, .on_usage = on_usage, .on_gone = on_gone};

/* ---- the pool ------------------------------------------------------------------------------- */

static void release(struct cwsd_record *record)
{
    struct cwsd_sandbox *sandbox = cws_container_of(record, struct cwsd_sandbox, record);
    drop_log(sandbox);
    cws_list_remove(&sandbox->log_changed.node);
    cwsd_log_unref(sandbox->log);
    cwsd_record_done(record);
    cws_free(sandbox);
}

struct cwsd_pool *cwsd_pool_new(const struct cwsd_pool_options *options)
{
    struct cwsd_pool *pool = cws_calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->options = *options;
    cws_list_init(&pool->logs);
    cws_timer_init(&pool->farewell, on_farewell);
    cwsd_registry_init(&pool->registry, release);
    return pool;
}

void cwsd_pool_free(struct cwsd_pool *pool)
{
    if (!pool)
        return;
    assert(pool->registry.live == 0);
    cws_timer_cancel(pool->options.loop, &pool->farewell);
    cwsd_registry_done(&pool->registry);
    cws_free(pool);
}

struct cwsd_registry *cwsd_pool_registry(struct cwsd_pool *pool)
{
    return &pool->registry;
}

const char *cwsd_pool_runner_id(const struct cwsd_pool *pool)
{
    return pool->options.runner_id;
}

bool cwsd_pool_is_draining(const struct cwsd_pool *pool)
{
    return pool->draining;
}

struct cws_loop *cwsd_pool_loop(struct cwsd_pool *pool)
{
    return pool->options.loop;
}

struct cwsd_sandbox *cwsd_pool_find(struct cwsd_pool *pool, const char *id,
                                    struct cwsd_fault *fault)
{
    struct cwsd_record *record = cwsd_registry_find(&pool->registry, id);
    if (record)
        return cws_container_of(record, struct cwsd_sandbox, record);
    if (id[0] == '\0') {
        cwsd_fault_set_invalid(fault, "sandbox_id", "must not be empty");
        return NULL;
    }
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND,
                   "there is no sandbox \"%s\"", cwsd_text_short(id).text);
    cwsd_fault_note(fault, "sandbox_id", id);
    return NULL;
}

void cwsd_pool_wait(struct cwsd_sandbox *sandbox, struct cwsd_waiter *waiter)
{
    cws_list_push_back(&sandbox->waiters, &waiter->node);
}

void cwsd_pool_stop(struct cwsd_sandbox *sandbox, enum cwsd_cause cause, uint64_t grace_ms)
{
    if (cwsd_record_is_finished(&sandbox->record))
        return;
    cwsd_record_stopping(&sandbox->record, cause);
    tell_waiters(sandbox);
    cwsd_box_stop(sandbox->box, grace_ms);
}

void cwsd_pool_drain(struct cwsd_pool *pool, uint64_t grace_ms)
{
    pool->draining = true;
    for (struct cws_list *node = pool->registry.all.next, *next; node != &pool->registry.all;
         node = next) {
        next = node->next;
        struct cwsd_record *record = cws_list_entry(node, struct cwsd_record, in_all);
        cwsd_pool_stop(cws_container_of(record, struct cwsd_sandbox, record), CWSD_CAUSE_SHUTDOWN,
                       grace_ms);
    }
}

/* ---- create --------------------------------------------------------------------------------- */

static bool check_request(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                          struct cwsd_fault *fault)
{
    if (!request->sandbox || !request->sandbox->spec)
        return cwsd_fault_set_invalid(fault, "sandbox.spec", "must be given");
    if (request->sandbox->sandbox_id[0])
        return cwsd_fault_set_invalid(fault, "sandbox.sandbox_id",
                                      "must be empty: the service assigns it");
    if (strlen(request->request_id) > CWSD_MAX_REQUEST_ID_BYTES)
        return cwsd_fault_set_invalid(fault, "request_id", "has %zu bytes; at most %d are allowed",
                                      strlen(request->request_id), CWSD_MAX_REQUEST_ID_BYTES);
    if (strlen(request->sandbox->display_name) > CWSD_MAX_NAME_BYTES)
        return cwsd_fault_set_invalid(fault, "sandbox.display_name",
                                      "has %zu bytes; at most %d are allowed",
                                      strlen(request->sandbox->display_name), CWSD_MAX_NAME_BYTES);
    return cwsd_spec_check(request->sandbox->spec, pool->options.runner_id, fault);
}

/* The sandbox an earlier request with this id made; NULL if there is none, or with *fault set if
 * that was another request. */
static struct cwsd_sandbox *find_repeated(struct cwsd_pool *pool,
                                          const cwsd_pb_create_request *request,
                                          struct cwsd_fault *fault)
{
    struct cwsd_record *record = NULL;
    if (request->request_id[0])
        record = cwsd_registry_find_request(&pool->registry, request->request_id);
    if (!record)
        return NULL;
    if (cwsd_digest_equal(record->digest, cwsd_digest_of(&request->sandbox->base)))
        return cws_container_of(record, struct cwsd_sandbox, record);
    cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT,
                   "request_id: \"%s\" was used before for another request; it made %s",
                   cwsd_text_short(request->request_id).text, record->id);
    cwsd_fault_note(fault, "request_id", request->request_id);
    cwsd_fault_note(fault, "sandbox_id", record->id);
    return NULL;
}

/* Moves what the record keeps out of the request; file contents are needed until the box has
 * them. */
static enum cws_status fill_record(struct cwsd_record *record, cwsd_pb_create_request *request)
{
    record->digest = cwsd_digest_of(&request->sandbox->base);
    record->display_name = cws_strdup(request->sandbox->display_name);
    if (!record->display_name)
        return CWS_NO_MEMORY;
    if (request->request_id[0] && !(record->request_id = cws_strdup(request->request_id)))
        return CWS_NO_MEMORY;
    record->spec = request->sandbox->spec;
    request->sandbox->spec = NULL;
    return CWS_OK;
}

static void drop_files(struct cwsd_record *record)
{
    const cwsd_pb_container *container = cwsd_spec_container(record->spec);
    for (size_t i = 0; i < container->n_files; i++)
        cwsd_wire_free_bytes(&container->files[i]->content);
    record->spec_bytes = protobuf_c_message_get_packed_size(&record->spec->base);
}

static bool start_box(struct cwsd_sandbox *sandbox, struct cwsd_fault *fault)
{
    struct cwsd_pool *pool = sandbox->pool;
    struct cwsd_launch launch;
    struct cws_error err;
    enum cws_status status = CWS_OK;
    if (!cwsd_launch_init(&launch, sandbox->record.id, sandbox->record.spec,
                          pool->options.secrets_dir, fault))
        return false;
    if (launch.options.command.count)
        status = cwsd_log_open(sandbox->log, &launch.options.output_fd, &err);
    if (status == CWS_OK)
        status = cwsd_box_new(pool->options.loop, pool->options.host, &launch.options, &box_events,
                              sandbox, &sandbox->box, &err);
    if (launch.options.output_fd)
        close(launch.options.output_fd);
    cwsd_launch_done(&launch);
    if (status == CWS_OK)
        return true;
    if (status == CWS_NO_MEMORY)
        return cwsd_fault_set_memory(fault);
    if (status == CWS_INVALID || status == CWS_TOO_LARGE) {
        cwsd_fault_set_invalid(fault, "sandbox.spec", "%s", err.text);
        if (status == CWS_TOO_LARGE)
            fault->reason = CWSD_REASON_RESOURCE_CEILING;
        return false;
    }
    return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                          "the sandbox cannot be started: %s", err.text);
}

static enum cws_status register_new(struct cwsd_pool *pool, struct cwsd_sandbox *sandbox)
{
    uint64_t lifetime_ns = (uint64_t)cwsd_spec_lifetime_s(sandbox->record.spec) * CWS_NS_PER_S;
    if (cws_timer_set(pool->options.loop, &sandbox->lifetime, cws_clock_now_ns() + lifetime_ns) !=
        CWS_OK)
        return CWS_NO_MEMORY;
    enum cws_status status = cwsd_registry_add(&pool->registry, &sandbox->record);
    if (status != CWS_OK)
        cws_timer_cancel(pool->options.loop, &sandbox->lifetime);
    return status;
}

static struct cwsd_log *make_log(const struct cwsd_pool *pool, const char *id)
{
    size_t size = strlen(pool->options.log_dir) + sizeof("/log-") + CWSD_ID_SIZE;
    char *path = cws_malloc(size);
    if (!path)
        return NULL;
    snprintf(path, size, "%s/log-%s", pool->options.log_dir, id);
    struct cwsd_log *log = cwsd_log_new(pool->options.loop, path, pool->options.log_bytes);
    cws_free(path);
    return log;
}

static struct cwsd_sandbox *make_sandbox(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                         struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox = cws_calloc(1, sizeof(*sandbox));
    if (!sandbox) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    sandbox->pool = pool;
    cwsd_record_init(&sandbox->record, wall_clock());
    cws_timer_init(&sandbox->lifetime, on_lifetime);
    cws_list_init(&sandbox->waiters);
    cws_list_init(&sandbox->usage.readers);
    cws_list_init(&sandbox->ended.node);
    sandbox->ended.run = end;
    cws_list_init(&sandbox->with_log);
    sandbox->log_changed.grown = on_log_grown;
    cws_list_init(&sandbox->log_changed.node);
    sandbox->log = make_log(pool, sandbox->record.id);
    if (!sandbox->log) {
        cwsd_fault_set_memory(fault);
        goto fail;
    }
    cws_list_push_back(&sandbox->log->listeners, &sandbox->log_changed.node);
    if (fill_record(&sandbox->record, request) != CWS_OK || register_new(pool, sandbox) != CWS_OK) {
        cwsd_fault_set_memory(fault);
        goto fail;
    }
    if (!cwsd_endpoints_open(pool->options.loop, sandbox->record.spec, &sandbox->serving,
                             &sandbox->endpoints, fault) ||
        !start_box(sandbox, fault))
        goto fail_registered;
    drop_files(&sandbox->record);
    return sandbox;

fail_registered:
    end_service(sandbox);
    cws_timer_cancel(pool->options.loop, &sandbox->lifetime);
    cwsd_registry_remove(&pool->registry, &sandbox->record);
fail:
    release(&sandbox->record);
    return NULL;
}

struct cwsd_sandbox *cwsd_pool_create(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                      struct cwsd_fault *fault)
{
    if (!check_request(pool, request, fault))
        return NULL;
    struct cwsd_sandbox *repeated = find_repeated(pool, request, fault);
    if (repeated || cwsd_fault_is_set(fault))
        return repeated;
    if (pool->draining) {
        cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_RUNNER_UNAVAILABLE,
                       "the daemon is ending");
        return NULL;
    }
    if (pool->registry.live >= pool->options.max_sandboxes) {
        cwsd_fault_set(
            fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_CAPACITY_EXHAUSTED,
            "there are %zu sandboxes, as many as this daemon was told to allow (--max-sandboxes)",
            pool->registry.live);
        return NULL;
    }
    return make_sandbox(pool, request, fault);
}
