#include "sandboxes/pool.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "box/host.h"
#include "sandboxes/pool_private.h"
#include "values/bounds.h"
#include "values/spec.h"
#include "values/spec_containers.h"
#include "values/spec_network.h"
#include "values/spec_volumes.h"
#include "values/text.h"
#include "values/wire.h"

static struct timespec wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now;
}

/* What has changed must not be lost with the daemon. */
static void save(struct cwsd_sandbox *sandbox)
{
    cwsd_keeper_save(&sandbox->pool->keeper, &sandbox->record);
}

/* ---- what the containers say ----------------------------------------------------------------- */

/* If the sandbox has left CREATING. */
static void tell_waiters(struct cwsd_sandbox *sandbox)
{
    struct cws_list *node;
    if (sandbox->record.state == CWSD_STATE(CREATING))
        return;
    while ((node = cws_list_pop_front(&sandbox->waiters)) != NULL) {
        struct cwsd_waiter *waiter = cws_list_entry(node, struct cwsd_waiter, node);
        waiter->settled(waiter);
    }
}

/* All but this one. Those that have been told to end have their grace period already. */
static void stop_others(struct cwsd_container *container, uint64_t grace_ms)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    for (size_t i = 0; i < sandbox->container_count; i++) {
        struct cwsd_container *other = &sandbox->containers[i];
        if (other != container && !other->row->stopped)
            cwsd_container_stop(other, grace_ms);
    }
}

/* The sandbox cannot go on: it ends FAILED, for the first such reason. */
void cwsd_pool_break(struct cwsd_container *container, const char *why)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    char *reason = sandbox->record.reason;
    if (sandbox->broken || sandbox->record.has_exit_code)
        return;
    sandbox->broken = true;
    if (sandbox->container_count == 1)
        snprintf(reason, sizeof(sandbox->record.reason), "%s", why);
    else
        snprintf(reason, sizeof(sandbox->record.reason), "container %s: %s", container->name, why);
    /* One that never ran is in CREATING until it is known to have FAILED. */
    if (sandbox->record.state == CWSD_STATE(RUNNING))
        cwsd_record_stopping(&sandbox->record, CWSD_CAUSE_NONE);
    save(sandbox);
    stop_others(container, 0);
}

static unsigned ask_usage(struct cwsd_usage *usage)
{
    struct cwsd_sandbox *sandbox = cws_container_of(usage, struct cwsd_sandbox, usage);
    unsigned asked = 0;
    for (size_t i = 0; i < sandbox->container_count; i++)
        asked += cwsd_container_ask_usage(&sandbox->containers[i]);
    return asked;
}

static void on_restored(void *ctx, const char *failed)
{
    struct cwsd_sandbox *sandbox = ctx;
    struct cwsd_container *home = &sandbox->containers[0];
    if (failed) {
        cwsd_pool_break(home, failed);
        cwsd_container_stop(home, 0);
    }
    cwsd_restore_free(sandbox->restore);
    sandbox->restore = NULL;
    cwsd_box_go(home->box);
}

static void on_volumes(struct cwsd_container *container)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    cwsd_restore_begin(sandbox->restore, container->box, on_restored, sandbox);
}

static void on_lent(struct cwsd_container *container)
{
    cwsd_pool_start_others(container->sandbox);
}

void cwsd_pool_count_ready(struct cwsd_sandbox *sandbox)
{
    if (--sandbox->starting)
        return;
    cwsd_record_running(&sandbox->record, wall_clock());
    save(sandbox);
    sandbox->serving = sandbox->primary->box;
    cwsd_usage_init(&sandbox->usage, ask_usage, cws_clock_now_ns());
    tell_waiters(sandbox);
}

static void on_running(struct cwsd_container *container)
{
    if (cwsd_pool_is_ready(container))
        cwsd_pool_count_ready(container->sandbox);
    cwsd_pool_go_on(container->sandbox);
}

static void on_usage(struct cwsd_container *container, const struct cwsi_usage *usage)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    if (usage)
        cwsd_usage_note(&sandbox->usage, usage, cws_clock_now_ns());
    else
        cwsd_usage_miss(&sandbox->usage, cws_clock_now_ns());
}

/* Before the box goes down: connections into it are commands of it. */
static void end_service(struct cwsd_sandbox *sandbox)
{
    cwsd_endpoints_close(sandbox->endpoints);
    sandbox->endpoints = NULL;
    sandbox->serving = NULL;
}

static void on_exited(struct cwsd_container *container)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    bool decides = container == sandbox->primary && !sandbox->broken;
    if (decides)
        cwsd_record_exited(&sandbox->record, container->row->exit_code);
    save(sandbox);
    cwsd_pool_note_end(container);
    if (!decides)
        return;
    end_service(sandbox);
    cwsd_usage_end(&sandbox->usage);
    stop_others(container, CWSD_SIDECAR_GRACE_S * 1000ull);
    tell_waiters(sandbox);
}

/* Nothing of the sandbox is left. */
static void settle_record(struct cwsd_sandbox *sandbox)
{
    char why[sizeof(sandbox->record.reason)];
    end_service(sandbox);
    cwsd_restore_free(sandbox->restore);
    sandbox->restore = NULL;
    if (sandbox->pool->options.archives)
        cwsd_archives_begin(sandbox->pool->options.archives, sandbox->record.id);
    snprintf(why, sizeof(why), "%s", sandbox->record.reason);
    cwsd_record_gone(&sandbox->record, why[0] ? why : NULL, wall_clock());
    save(sandbox);
    cws_timer_cancel(sandbox->pool->options.loop, &sandbox->lifetime);
    cwsd_usage_end(&sandbox->usage);
}

static void on_gone(struct cwsd_container *container, const struct cws_error *err)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    bool needed = container == sandbox->primary || sandbox->starting;
    if (err && needed && (!container->row->stopped || sandbox->container_count == 1))
        cwsd_pool_break(container, err->text);
    if (sandbox->others_wait)
        cwsd_pool_skip_others(sandbox);
    cwsd_pool_note_end(container);
    if (--sandbox->living == 0)
        settle_record(sandbox);
    tell_waiters(sandbox);
}

/* The sandbox counts as living until all its logs are whole. That comes after on_gone. */
static void on_over(struct cwsd_container *container)
{
    struct cwsd_sandbox *sandbox = container->sandbox;
    if (--sandbox->open == 0)
        cws_loop_defer(sandbox->pool->options.loop, &sandbox->ended);
}

static const struct cwsd_container_events container_events = {
    on_volumes, on_lent, on_running, on_exited, on_usage, on_gone, on_over};

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

/* After on_over, outside of the boxes' own calls. */
static void end(struct cws_deferred *deferred)
{
    struct cwsd_sandbox *sandbox = cws_container_of(deferred, struct cwsd_sandbox, ended);
    struct cwsd_pool *pool = sandbox->pool;
    for (size_t i = 0; i < sandbox->container_count; i++) {
        struct cwsd_container *container = &sandbox->containers[i];
        cwsd_box_free(container->box);
        container->box = NULL;
        cwsd_log_shelf_add(&pool->shelf, &container->on_shelf);
    }
    cwsd_room_free(sandbox->room);
    sandbox->room = NULL;
    cwsd_registry_finish(&pool->registry, &sandbox->record); /* may release this very sandbox */
    note_end(pool);
}

static void on_lifetime(struct cws_timer *timer)
{
    struct cwsd_sandbox *sandbox = cws_container_of(timer, struct cwsd_sandbox, lifetime);
    cwsd_pool_stop(sandbox, CWSD_CAUSE_LIFETIME, CWSD_LIFETIME_GRACE_S * 1000ull);
}

/* ---- a sandbox's memory --------------------------------------------------------------------- */

struct cwsd_sandbox *cwsd_pool_new_sandbox(struct cwsd_pool *pool)
{
    struct cwsd_sandbox *sandbox = cws_calloc(1, sizeof(*sandbox));
    if (!sandbox)
        return NULL;
    sandbox->pool = pool;
    cwsd_record_init(&sandbox->record, wall_clock());
    cws_timer_init(&sandbox->lifetime, on_lifetime);
    cws_list_init(&sandbox->waiters);
    cws_list_init(&sandbox->usage.readers);
    cws_list_init(&sandbox->ended.node);
    sandbox->ended.run = end;
    return sandbox;
}

static void release(struct cwsd_record *record)
{
    struct cwsd_sandbox *sandbox = cws_container_of(record, struct cwsd_sandbox, record);
    bool for_good = cwsd_keeper_remove(&sandbox->pool->keeper, record);
    for (size_t i = 0; i < sandbox->container_count; i++) {
        if (for_good && sandbox->containers[i].log)
            cwsd_log_discard(sandbox->containers[i].log);
        cwsd_container_done(&sandbox->containers[i]);
    }
    cwsd_restore_free(sandbox->restore);
    cws_free(sandbox->containers);
    cws_free(sandbox->health);
    cwsd_plan_free(sandbox->plan);
    cwsd_room_free(sandbox->room);
    cwsd_record_done(record);
    cws_free(sandbox);
}

/* ---- the pool ------------------------------------------------------------------------------- */

enum cws_status cwsd_pool_new(const struct cwsd_pool_options *options, struct cwsd_pool **out_pool,
                              struct cws_error *err)
{
    struct cwsd_pool *pool = cws_calloc(1, sizeof(*pool));
    if (!pool)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    pool->options = *options;
    cwsd_log_shelf_init(&pool->shelf, options->log_bytes);
    cws_timer_init(&pool->farewell, on_farewell);
    cwsd_registry_init(&pool->registry, release);
    enum cws_status status = cwsd_keeper_init(&pool->keeper, options->loop, options->database, err);
    if (status == CWS_OK)
        status = cwsd_pool_restore(pool, err);
    if (status == CWS_OK)
        *out_pool = pool;
    else
        cwsd_pool_free(pool);
    return status;
}

bool cwsd_pool_flush(struct cwsd_pool *pool)
{
    return cwsd_sandbox_rows_retry(&pool->keeper.rows);
}

void cwsd_pool_free(struct cwsd_pool *pool)
{
    if (!pool)
        return;
    assert(pool->registry.live == 0);
    cws_timer_cancel(pool->options.loop, &pool->farewell);
    cwsd_keeper_done(&pool->keeper); /* before its records are released, which is not their end */
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

struct cwsd_archives *cwsd_pool_archives(const struct cwsd_pool *pool)
{
    return pool->options.archives;
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
    save(sandbox);
    tell_waiters(sandbox);
    for (size_t i = 0; i < sandbox->container_count; i++)
        cwsd_container_stop(&sandbox->containers[i], grace_ms);
}

void cwsd_pool_delete(struct cwsd_sandbox *sandbox, uint64_t grace_ms)
{
    sandbox->record.deleted = true;
    if (cwsd_record_is_finished(&sandbox->record))
        save(sandbox);
    else
        cwsd_pool_stop(sandbox, CWSD_CAUSE_DELETE, grace_ms);
}

struct cwsd_box_execs cwsd_pool_execs(const struct cwsd_sandbox *sandbox)
{
    struct cwsd_box_execs sum = {0};
    for (size_t i = 0; i < sandbox->container_count; i++) {
        const struct cwsd_box *box = sandbox->containers[i].box;
        const struct cwsd_box_execs execs = box ? cwsd_box_execs(box) : sum;
        sum.running += box ? execs.running : 0;
        sum.started += box ? execs.started : 0;
    }
    return sum;
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

static enum cwsd_spec_egress what_leaves(const struct cwsd_egress *egress)
{
    if (!egress)
        return CWSD_SPEC_EGRESS_NONE;
    return egress->way == CWSD_EGRESS_SLIRP4NETNS ? CWSD_SPEC_EGRESS_TCP_AND_UDP
                                                  : CWSD_SPEC_EGRESS_ALL;
}

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
    const cwsd_pb_spec *spec = request->sandbox->spec;
    return cwsd_spec_check_network(spec, what_leaves(pool->options.egress), fault) &&
           cwsd_spec_check(request->sandbox->spec, pool->options.runner_id, fault);
}

struct cwsd_sandbox *cwsd_pool_find_repeated(struct cwsd_pool *pool, const char *request_id,
                                             struct cwsd_digest digest, struct cwsd_fault *fault)
{
    struct cwsd_record *record = NULL;
    if (request_id[0])
        record = cwsd_registry_find_request(&pool->registry, request_id);
    if (!record)
        return NULL;
    if (cwsd_digest_equal(record->digest, digest))
        return cws_container_of(record, struct cwsd_sandbox, record);
    cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT,
                   "request_id: \"%s\" was used before for another request; it made %s",
                   cwsd_text_short(request_id).text, record->id);
    cwsd_fault_note(fault, "request_id", request_id);
    cwsd_fault_note(fault, "sandbox_id", record->id);
    return NULL;
}

/* Moves what the record keeps out of the request; file contents are needed until the box has
 * them. */
static enum cws_status fill_record(struct cwsd_record *record, cwsd_pb_create_request *request,
                                   const struct cwsd_origin *origin, const struct cwsd_host *host)
{
    record->digest = origin->digest;
    record->source_template_revision = origin->template_revision;
    if (origin->template_id && !(record->source_template_id = cws_strdup(origin->template_id)))
        return CWS_NO_MEMORY;
    record->display_name = cws_strdup(request->sandbox->display_name);
    if (!record->display_name)
        return CWS_NO_MEMORY;
    if (request->request_id[0] && !(record->request_id = cws_strdup(request->request_id)))
        return CWS_NO_MEMORY;
    record->spec = request->sandbox->spec;
    request->sandbox->spec = NULL;
    record->rows = cws_calloc(record->spec->n_containers, sizeof(*record->rows));
    if (!record->rows)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < record->spec->n_containers; i++)
        cwsd_row_init(&record->rows[i]);
    enum cws_status status = cwsd_spec_fit_volumes(record->spec, cwsd_host_volume_bytes(host));
    return status == CWS_OK ? cwsd_spec_complete(record->spec) : status;
}

static void drop_files(struct cwsd_record *record)
{
    for (size_t i = 0; i < record->spec->n_containers; i++) {
        const cwsd_pb_container *container = record->spec->containers[i];
        for (size_t j = 0; j < container->n_files; j++)
            cwsd_wire_free_bytes(&container->files[j]->content);
    }
    record->spec_bytes = protobuf_c_message_get_packed_size(&record->spec->base);
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

static struct cwsd_sandbox *make_sandbox(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                         const struct cwsd_origin *origin, struct cwsd_fault *fault)
{
    struct cwsd_sandbox *sandbox = cwsd_pool_new_sandbox(pool);
    if (!sandbox) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    if (origin->plan) {
        sandbox->plan = *origin->plan;
        *origin->plan = NULL;
    }
    if (fill_record(&sandbox->record, request, origin, pool->options.host) != CWS_OK ||
        cwsd_pool_add_containers(sandbox, &container_events) != CWS_OK ||
        register_new(pool, sandbox) != CWS_OK) {
        cwsd_fault_set_memory(fault);
        goto fail;
    }
    const struct cwsd_endpoints_options endpoints = {.loop = pool->options.loop,
                                                     .spec = sandbox->record.spec,
                                                     .box = &sandbox->serving,
                                                     .tls = pool->options.endpoint_tls};
    if (!cwsd_restore_open(pool->options.archives, sandbox->record.spec, &sandbox->restore,
                           fault) ||
        !cwsd_keeper_add(&pool->keeper, &sandbox->record, fault) ||
        !cwsd_endpoints_open(&endpoints, &sandbox->endpoints, fault) ||
        !cwsd_pool_start_containers(sandbox, fault))
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
    return cwsd_pool_create_from(pool, request, NULL, fault);
}

struct cwsd_sandbox *cwsd_pool_create_from(struct cwsd_pool *pool, cwsd_pb_create_request *request,
                                           const struct cwsd_origin *origin,
                                           struct cwsd_fault *fault)
{
    struct cwsd_origin own = {0};
    if (!check_request(pool, request, fault))
        return NULL;
    if (!origin) {
        own.digest = cwsd_digest_of(&request->sandbox->base);
        origin = &own;
    }
    struct cwsd_sandbox *repeated =
        cwsd_pool_find_repeated(pool, request->request_id, origin->digest, fault);
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
    return make_sandbox(pool, request, origin, fault);
}
