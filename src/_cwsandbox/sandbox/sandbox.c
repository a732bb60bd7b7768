#include "sandbox/sandbox.h"

#include "base/alloc.h"

/* ---- calls that the endpoint has refused ---------------------------------------------------- */

static bool is_other_way(const struct cws_direct *direct, const struct cws_call *call)
{
    return direct->strict && direct->channel && !cws_channel_is_refused(direct->channel) &&
           cws_route_permits(direct, cws_call_path(call));
}

/* The queue has a reference of its own. */
static void tell_refusal(struct cws_sandbox *sandbox)
{
    cws_sandbox_ref(sandbox);
    if (!cws_queue_push(sandbox->refusals, &sandbox->refusal))
        cws_sandbox_unref(sandbox);
}

struct cws_sandbox *cws_sandbox_pop_refusal(struct cws_queue *refusals,
                                            struct cws_observer *observer)
{
    struct cws_list *node = cws_queue_pop(refusals, observer);
    return node ? cws_list_entry(node, struct cws_sandbox, refusal) : NULL;
}

/* There may be another way already: this call was slow to hear that its own is closed. */
static void on_refused(struct cws_refused_calls *refused, struct cws_call *call)
{
    struct cws_sandbox *sandbox = cws_container_of(refused, struct cws_sandbox, loop_only.refused);
    if (is_other_way(&sandbox->loop_only.direct, call))
        cws_call_send_elsewhere(call, sandbox->loop_only.direct.channel);
    else if (sandbox->loop_only.state == CWS_SANDBOX_CLOSED)
        cws_call_end_refused(call);
    else
        tell_refusal(sandbox);
}

/* None of them comes back here: a call waits once. */
static void send_refused(struct cws_sandbox *sandbox)
{
    struct cws_list *calls = &sandbox->loop_only.refused.calls, *next;
    for (struct cws_list *node = calls->next; node != calls; node = next) {
        struct cws_call *call = cws_call_of_refused(node);
        next = node->next;
        if (is_other_way(&sandbox->loop_only.direct, call))
            cws_call_send_elsewhere(call, sandbox->loop_only.direct.channel);
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

enum cws_status cws_sandbox_new(struct cws_loop *loop, struct cws_sandbox **out_sandbox)
{
    struct cws_sandbox *sandbox = cws_calloc(1, sizeof(*sandbox));
    if (!sandbox)
        return CWS_NO_MEMORY;
    cws_ref_init(&sandbox->ref);
    sandbox->loop = loop;
    cws_list_init(&sandbox->loop_only.waiting);
    cws_list_init(&sandbox->loop_only.running);
    cws_list_init(&sandbox->loop_only.refused.calls);
    sandbox->loop_only.refused.on_refused = on_refused;
    cws_list_init(&sandbox->refusal);
    *out_sandbox = sandbox;
    return CWS_OK;
}

void cws_sandbox_ref(struct cws_sandbox *sandbox)
{
    cws_ref_get(&sandbox->ref);
}

void cws_sandbox_unref(struct cws_sandbox *sandbox)
{
    if (!sandbox || !cws_ref_put(&sandbox->ref))
        return;
    /* Every tenant holds a reference, so there is none left. */
    cws_channel_unref(sandbox->loop_only.channel);
    cws_channel_unref(sandbox->loop_only.direct.channel);
    cws_queue_unref(sandbox->refusals);
    cws_free(sandbox->loop_only.id);
    cws_free(sandbox);
}

/* ---- tenants -------------------------------------------------------------------------------- */

/* A tenant is moved before it is told: inside of the call it may leave and be freed. */

static void send_one(struct cws_sandbox *sandbox, struct cws_tenant *tenant)
{
    cws_list_remove(&tenant->node);
    cws_list_push_back(&sandbox->loop_only.running, &tenant->node);
    tenant->kind->send(tenant);
}

static void end_all(struct cws_list *tenants, enum cws_eviction why)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(tenants)) != NULL) {
        struct cws_tenant *tenant = cws_list_entry(node, struct cws_tenant, node);
        tenant->kind->end(tenant, why);
    }
}

void cws_sandbox_admit(struct cws_sandbox *sandbox, struct cws_tenant *tenant)
{
    switch (sandbox->loop_only.state) {
    case CWS_SANDBOX_WAITING:
        cws_list_push_back(&sandbox->loop_only.waiting, &tenant->node);
        break;
    case CWS_SANDBOX_OPEN:
        send_one(sandbox, tenant);
        break;
    case CWS_SANDBOX_CLOSED:
        tenant->kind->end(tenant, CWS_EVICTION_CLOSED);
        break;
    }
}

struct cws_channel *cws_sandbox_route(struct cws_sandbox *sandbox, struct cws_tenant *tenant,
                                      enum cws_data_method method, struct cws_call_options *options)
{
    bool missed;
    struct cws_channel *channel =
        cws_route(&sandbox->loop_only.direct, sandbox->loop_only.channel, method, options, &missed);
    if (missed)
        atomic_store(&sandbox->direct_missed, true);
    if (sandbox->loop_only.direct.strict && sandbox->refusals) {
        options->refused = &sandbox->loop_only.refused;
        options->owner = tenant;
    }
    return channel;
}

/* ---- changes of state ----------------------------------------------------------------------- */

/* A change of state on its way to the loop thread. */
struct change {
    struct cws_task task;
    struct cws_sandbox *sandbox;
    void (*apply)(struct change *change);
    struct cws_channel *channel;
    char *id;
    struct cws_direct direct;
};

static void run_change(struct cws_task *task)
{
    struct change *change = cws_container_of(task, struct change, task);
    change->apply(change);
    cws_channel_unref(change->channel);
    cws_channel_unref(change->direct.channel);
    cws_free(change->id);
    cws_sandbox_unref(change->sandbox);
    cws_free(change);
}

/* `with`: what the change brings; its parts are copied or counted. */
static enum cws_status post_change(struct cws_sandbox *sandbox, void (*apply)(struct change *),
                                   const struct change *with)
{
    struct change *change = cws_calloc(1, sizeof(*change));
    if (!change)
        return CWS_NO_MEMORY;
    if (with->id && !(change->id = cws_strdup(with->id))) {
        cws_free(change);
        return CWS_NO_MEMORY;
    }
    change->channel = with->channel;
    change->direct = with->direct;
    if (change->channel)
        cws_channel_ref(change->channel);
    if (change->direct.channel)
        cws_channel_ref(change->direct.channel);
    cws_sandbox_ref(sandbox);
    change->task.run = run_change;
    change->sandbox = sandbox;
    change->apply = apply;
    cws_loop_post(sandbox->loop, &change->task);
    return CWS_OK;
}

/* What the gateway has said of the service is true of its endpoints, too. */
static void tell_extensions(struct cws_sandbox *sandbox)
{
    struct cws_channel *gateway = sandbox->loop_only.channel;
    struct cws_channel *direct = sandbox->loop_only.direct.channel;
    if (gateway && direct)
        cws_channel_set_extensions(direct, cws_channel_extensions(gateway));
}

static void apply_open(struct change *change)
{
    struct cws_sandbox *sandbox = change->sandbox;
    if (sandbox->loop_only.state == CWS_SANDBOX_CLOSED)
        return;
    cws_channel_unref(sandbox->loop_only.channel);
    cws_free(sandbox->loop_only.id);
    sandbox->loop_only.channel = change->channel;
    sandbox->loop_only.id = change->id;
    change->channel = NULL;
    change->id = NULL;
    sandbox->loop_only.state = CWS_SANDBOX_OPEN;
    tell_extensions(sandbox);
    cws_call_end_all_refused(&sandbox->loop_only.refused);
    while (!cws_list_is_empty(&sandbox->loop_only.waiting))
        send_one(sandbox, cws_list_entry(sandbox->loop_only.waiting.next, struct cws_tenant, node));
}

static void set_direct(struct cws_sandbox *sandbox, struct cws_direct direct)
{
    cws_channel_unref(sandbox->loop_only.direct.channel);
    sandbox->loop_only.direct = direct;
    atomic_store(&sandbox->direct_missed, false);
    tell_extensions(sandbox);
}

static void apply_direct(struct change *change)
{
    if (change->sandbox->loop_only.state == CWS_SANDBOX_CLOSED)
        return;
    set_direct(change->sandbox, change->direct);
    change->direct = (struct cws_direct){0};
    send_refused(change->sandbox);
}

static void apply_end_refused(struct change *change)
{
    cws_call_end_all_refused(&change->sandbox->loop_only.refused);
}

static void apply_evict_refused(struct change *change)
{
    struct cws_list *calls = &change->sandbox->loop_only.refused.calls;
    while (!cws_list_is_empty(calls)) {
        struct cws_list *node = calls->next;
        struct cws_tenant *tenant = cws_call_owner(cws_call_of_refused(node));
        cws_tenant_leave(tenant);
        tenant->kind->end(tenant, CWS_EVICTION_CLOSED);
        if (calls->next == node) /* of a log, which would go on for a moment */
            cws_call_end_refused(cws_call_of_refused(node));
    }
}

static void apply_hold(struct change *change)
{
    if (change->sandbox->loop_only.state == CWS_SANDBOX_OPEN)
        change->sandbox->loop_only.state = CWS_SANDBOX_WAITING;
}

static void apply_fail(struct change *change)
{
    if (change->sandbox->loop_only.state == CWS_SANDBOX_OPEN)
        change->sandbox->loop_only.state = CWS_SANDBOX_WAITING;
    end_all(&change->sandbox->loop_only.waiting, CWS_EVICTION_NOT_OPEN);
    apply_end_refused(change);
}

static void apply_close(struct change *change)
{
    change->sandbox->loop_only.state = CWS_SANDBOX_CLOSED;
    set_direct(change->sandbox, (struct cws_direct){0});
    end_all(&change->sandbox->loop_only.waiting, CWS_EVICTION_CLOSED);
    end_all(&change->sandbox->loop_only.running, CWS_EVICTION_CLOSED);
    apply_end_refused(change); /* of logs, which go on for a moment */
}

enum cws_status cws_sandbox_open(struct cws_sandbox *sandbox, struct cws_channel *channel,
                                 const char *id)
{
    return post_change(sandbox, apply_open, &(struct change){.channel = channel, .id = (char *)id});
}

enum cws_status cws_sandbox_fail(struct cws_sandbox *sandbox)
{
    return post_change(sandbox, apply_fail, &(struct change){0});
}

enum cws_status cws_sandbox_close(struct cws_sandbox *sandbox)
{
    return post_change(sandbox, apply_close, &(struct change){0});
}

enum cws_status cws_sandbox_set_direct(struct cws_sandbox *sandbox, const struct cws_direct *direct)
{
    return post_change(sandbox, apply_direct, &(struct change){.direct = *direct});
}

enum cws_status cws_sandbox_hold(struct cws_sandbox *sandbox)
{
    return post_change(sandbox, apply_hold, &(struct change){0});
}

enum cws_status cws_sandbox_end_refused(struct cws_sandbox *sandbox)
{
    return post_change(sandbox, apply_end_refused, &(struct change){0});
}

enum cws_status cws_sandbox_evict_refused(struct cws_sandbox *sandbox)
{
    return post_change(sandbox, apply_evict_refused, &(struct change){0});
}
