/* The connections of a channel, and which call goes where. */
#include <string.h>

#include "base/alloc.h"
#include "grpc/channel_private.h"
#include "io/proxy.h"

/* What a connection is expected to take before its SETTINGS tell: the usual limit of servers. */
enum { USUAL_MAX_STREAMS = 100 };
static const uint64_t CONNECT_TIMEOUT_NS = 20 * CWS_NS_PER_S;
static const uint64_t REDIAL_PAUSE_NS = 1 * CWS_NS_PER_S;
/* After this many connections in a row that closed before they took a call, the waiting calls
 * fail. */
enum { MAX_FRUITLESS = 3 };
/* Connections beyond the first that a burst needed are closed after this long without a stream. */
static const uint64_t IDLE_NS = 30 * CWS_NS_PER_S;

static struct cws_pool_connection *entry_of(struct cws_list *node)
{
    return cws_list_entry(node, struct cws_pool_connection, node);
}

static void drop_connection(struct cws_pool_connection *c)
{
    struct cws_channel *channel = c->channel;
    cws_list_remove(&c->node);
    channel->connection_count--;
    if (!c->ready)
        channel->connecting--;
    cws_timer_cancel(channel->loop, &c->settings_timer);
    cws_timer_cancel(channel->loop, &c->doubt_timer);
    if (c->dial)
        cws_dial_cancel(c->dial);
    cws_h2_conn_free(c->conn);
    cws_free(c);
}

static void fail_queued(struct cws_channel *channel, const struct cws_error *err)
{
    /* Only those there now: a call started by one that fails gets a try of its own. */
    size_t n = channel->queued;
    while (n-- > 0 && !cws_list_is_empty(&channel->queue)) {
        struct cws_call *call = cws_list_entry(channel->queue.next, struct cws_call, node);
        cws_list_remove(&call->node);
        channel->queued--;
        cws_call_fail_unavailable(call, err);
    }
}

/* A connection could not be made or broke before it was ready. */
static void connecting_failed(struct cws_channel *channel, const struct cws_error *err)
{
    if (channel->connection_count >
        0) { /* other connections live or are being opened: calls go on waiting for those */
        channel->no_dial_before_ns = cws_clock_now_ns() + REDIAL_PAUSE_NS;
        cws_channel_want_pump(channel);
    } else {
        fail_queued(channel, err);
    }
}

/* ---- a connection's events ------------------------------------------------------------------ */

static void on_ready(void *ctx)
{
    struct cws_pool_connection *c = ctx;
    c->ready = true;
    cws_timer_cancel(c->channel->loop, &c->settings_timer);
    c->channel->connecting--;
    c->channel->streams_expected = cws_h2_conn_free_slots(c->conn);
    cws_channel_want_pump(c->channel);
}

static void on_idle_timer(struct cws_timer *timer)
{
    struct cws_channel *channel = cws_container_of(timer, struct cws_channel, idle_timer);
    uint64_t now = cws_clock_now_ns();
    bool more = false;
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        struct cws_pool_connection *c = entry_of(node);
        if (node == channel->connections.next || !c->idle_since_ns)
            continue;
        if (now - c->idle_since_ns >= IDLE_NS)
            cws_h2_conn_drain(c->conn); /* its on_closed takes it out of the list, later */
        else
            more = true;
    }
    if (more)
        (void)!cws_timer_set(channel->loop, timer, now + IDLE_NS);
}

/* Runs after each iteration in which a stream has ended. Remembers since when there has been
 * none. */
static void note_idle(struct cws_pool_connection *c)
{
    struct cws_channel *channel = c->channel;
    bool idle = cws_h2_conn_stream_count(c->conn) == 0;
    if (!idle)
        c->idle_since_ns = 0;
    else if (!c->idle_since_ns)
        c->idle_since_ns = cws_clock_now_ns();
    if (idle && channel->connection_count > 1 && !channel->idle_timer.index)
        (void)!cws_timer_set(channel->loop, &channel->idle_timer, c->idle_since_ns + IDLE_NS);
}

static void on_room(void *ctx)
{
    struct cws_pool_connection *c = ctx;
    note_idle(c);
    cws_liveness_on_room(c);
    cws_channel_want_pump(c->channel);
}

static void on_too_many_pings(void *ctx)
{
    struct cws_pool_connection *c = ctx;
    cws_liveness_on_too_many_pings(c->channel);
}

/* One connection after the other is closed before a call gets onto it: dialling on would never
 * end. */
static void all_fruitless(struct cws_channel *channel, const struct cws_error *why)
{
    struct cws_error err;
    cws_error_set(&err, CWS_CLOSED,
                  "%s: the peer closes its connections before they take a call (%s)",
                  channel->target.authority, why->text);
    channel->fruitless = 0;
    connecting_failed(channel, &err);
}

static void on_conn_closed(void *ctx, const struct cws_error *err)
{
    struct cws_pool_connection *c = ctx;
    struct cws_channel *channel = c->channel;
    bool was_ready = c->ready;
    bool was_used = c->used;
    drop_connection(c);
    if (!was_ready)
        connecting_failed(channel, err);
    else if (was_used || channel->queued == 0 || ++channel->fruitless < MAX_FRUITLESS)
        cws_channel_want_pump(channel);
    else
        all_fruitless(channel, err);
}

static const struct cws_h2_conn_events conn_events = {
    .on_ready = on_ready,
    .on_room = on_room,
    .on_closed = on_conn_closed,
    .on_too_many_pings = on_too_many_pings,
};

/* Something accepts connections there but does not speak HTTP/2. */
static void on_no_settings(struct cws_timer *timer)
{
    struct cws_pool_connection *c =
        cws_container_of(timer, struct cws_pool_connection, settings_timer);
    struct cws_channel *channel = c->channel;
    struct cws_error err;
    cws_error_set(&err, CWS_TIMED_OUT, "%s: the peer sent no HTTP/2 SETTINGS within %llu s",
                  channel->target.authority,
                  (unsigned long long)(CONNECT_TIMEOUT_NS / CWS_NS_PER_S));
    drop_connection(c);
    connecting_failed(channel, &err);
}

static void on_dialled(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct cws_pool_connection *c = ctx;
    struct cws_channel *channel = c->channel;
    c->dial = NULL;
    if (transport) {
        struct cws_h2_conn_options options = {0};
        c->conn =
            cws_h2_conn_new(channel->loop, transport, CWS_H2_CLIENT, &options, &conn_events, c);
        if (c->conn && cws_timer_set(channel->loop, &c->settings_timer,
                                     cws_clock_now_ns() + CONNECT_TIMEOUT_NS) == CWS_OK)
            return;
    }
    struct cws_error no_memory = {CWS_NO_MEMORY, "out of memory for a connection"};
    drop_connection(c);
    connecting_failed(channel, transport ? &no_memory : err);
}

static enum cws_status start_dial(struct cws_pool_connection *c, struct cws_error *err)
{
    const struct cws_target *target = &c->channel->target;
    struct cws_proxy proxy = {0};
    if (!target->unix_path) {
        enum cws_status status = cws_proxy_for(target->host, &proxy, err);
        if (status != CWS_OK)
            return status;
    }
    struct cws_dial_options options = {
        .unix_path = target->unix_path,
        .host = target->host,
        .port = target->port,
        .tls = c->channel->tls,
        .proxy = proxy.address,
        .proxy_auth = proxy.auth,
        .deadline_ns = cws_clock_now_ns() + CONNECT_TIMEOUT_NS,
    };
    c->dial = cws_dial_start(c->channel->loop, &options, on_dialled, c);
    cws_proxy_done(&proxy);
    return c->dial ? CWS_OK : cws_error_set(err, CWS_NO_MEMORY, "out of memory for a connection");
}

static void open_connection(struct cws_channel *channel)
{
    struct cws_error err;
    struct cws_pool_connection *c = cws_calloc(1, sizeof(*c));
    if (!c) {
        cws_error_set(&err, CWS_NO_MEMORY, "out of memory for a connection");
        connecting_failed(channel, &err);
        return;
    }
    c->channel = channel;
    cws_timer_init(&c->settings_timer, on_no_settings);
    cws_liveness_init_connection(c);
    cws_list_push_back(&channel->connections, &c->node);
    channel->connection_count++;
    channel->connecting++;
    if (start_dial(c, &err) != CWS_OK) {
        drop_connection(c);
        connecting_failed(channel, &err);
    }
}

bool cws_channel_is_connected(const struct cws_channel *channel)
{
    if (cws_channel_is_refused(channel))
        return false;
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        const struct cws_pool_connection *c = entry_of(node);
        if (c->ready && !cws_h2_conn_is_draining(c->conn) && !cws_h2_conn_is_doubted(c->conn))
            return true;
    }
    return false;
}

/* ---- which call goes where ------------------------------------------------------------------ */

/* Fills the oldest connections first, so that the younger ones can fall idle. */
static void place_calls(struct cws_channel *channel)
{
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        struct cws_pool_connection *c = entry_of(node);
        if (!c->conn)
            continue;
        while (channel->queued && cws_h2_conn_free_slots(c->conn) > 0) {
            struct cws_call *call = cws_list_entry(channel->queue.next, struct cws_call, node);
            cws_list_remove(&call->node);
            channel->queued--;
            c->idle_since_ns = 0;
            if (cws_call_open(call, c)) {
                c->used = true;
                channel->fruitless = 0;
            } else if (cws_h2_conn_is_draining(c->conn)) { /* out of stream ids */
                cws_pool_enqueue(channel, call, true);
            } else { /* waiting would not help the call to memory */
                struct cws_error err = {CWS_NO_MEMORY, "out of memory for a stream"};
                cws_call_fail_unavailable(call, &err);
            }
        }
    }
}

/* Whether another connection may be opened for the calls that wait. */
static bool may_open(const struct cws_channel *channel)
{
    size_t trusted = 0, shut = 0, shut_from_the_start = 0;
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        const struct cws_pool_connection *c = entry_of(node);
        trusted += !c->conn || !cws_h2_conn_is_doubted(c->conn);
        if (c->conn && cws_h2_conn_is_shut(c->conn)) {
            shut++;
            shut_from_the_start += !c->used;
        }
    }
    /* Those in doubt do not keep others from being opened. */
    if (trusted >= channel->max_connections)
        return false;
    /* Where streams are not allowed any more, the next connection may allow some: they are tried
     * one by one, until the second one in vain. */
    return shut == 0 || (channel->connecting == 0 && (shut_from_the_start == 0 || shut < 2));
}

static void on_redial_timer(struct cws_timer *timer)
{
    cws_channel_want_pump(cws_container_of(timer, struct cws_channel, redial_timer));
}

static void on_pump(struct cws_deferred *deferred)
{
    struct cws_channel *channel = cws_container_of(deferred, struct cws_channel, pump);
    channel->pump_wanted = false;
    place_calls(channel);
    if (channel->queued == 0)
        return;
    if (channel->connection_count > 0 && cws_clock_now_ns() < channel->no_dial_before_ns) {
        /* A stream that ends comes back here; when none does, the timer. */
        (void)!cws_timer_set(channel->loop, &channel->redial_timer, channel->no_dial_before_ns);
        return;
    }
    size_t each = channel->streams_expected ? channel->streams_expected : USUAL_MAX_STREAMS;
    while (channel->queued && may_open(channel) && channel->connecting * each < channel->queued) {
        size_t before = channel->connection_count;
        open_connection(channel);
        if (channel->connection_count == before)
            return;
        /* The first connection tells how much one takes; only then are further ones worth it. */
        if (channel->streams_expected == 0)
            return;
    }
}

void cws_channel_want_pump(struct cws_channel *channel)
{
    if (channel->pump_wanted)
        return;
    channel->pump_wanted = true;
    cws_loop_defer(channel->loop, &channel->pump);
}

void cws_pool_enqueue(struct cws_channel *channel, struct cws_call *call, bool front)
{
    if (front)
        cws_list_push_back(channel->queue.next, &call->node); /* before the first */
    else
        cws_list_push_back(&channel->queue, &call->node);
    channel->queued++;
    cws_channel_want_pump(channel);
}

void cws_pool_init(struct cws_channel *channel)
{
    cws_list_init(&channel->connections);
    cws_list_init(&channel->queue);
    cws_list_init(&channel->pump.node);
    channel->pump.run = on_pump;
    cws_timer_init(&channel->idle_timer, on_idle_timer);
    cws_timer_init(&channel->redial_timer, on_redial_timer);
    cws_liveness_init(channel);
}

void cws_pool_close(struct cws_channel *channel)
{
    cws_timer_cancel(channel->loop, &channel->idle_timer);
    cws_timer_cancel(channel->loop, &channel->redial_timer);
    cws_timer_cancel(channel->loop, &channel->sweep_timer);
    while (!cws_list_is_empty(&channel->connections))
        drop_connection(entry_of(channel->connections.next));
    struct cws_error err = {CWS_CLOSED, "the channel was closed"};
    fail_queued(channel, &err);
    cws_list_remove(&channel->pump.node);
}
