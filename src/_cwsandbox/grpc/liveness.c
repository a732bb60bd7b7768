/*
 * Whether a connection's peer is still there. TCP notices a host that vanishes (io/dial.c); it
 * cannot notice a middlebox that takes every byte and forwards none. See docs/liveness.md.
 *
 * Doubt begins when a call has waited in vain and nothing has arrived on its connection meanwhile.
 * A connection in doubt takes no new calls and is sent a PING. Anything that arrives from the peer
 * ends the doubt. If nothing arrives in time, the connection is given up.
 */
#include "grpc/channel_private.h"

/* How many sweeps there are per interval. The more, the sooner a silent interval's end is
 * noticed. */
enum { SWEEPS = 5 };
/* So many connections of a channel may wait in doubt until they may be asked. They were all asked a
 * while ago and have answered; when one after the other is silent, the calls' limits are shorter
 * than the peer is slow, and more connections would not help. */
enum { MAX_UNASKED = 4 };
static const uint64_t ANSWER_NS = 5 * CWS_NS_PER_S;
/* The strictest default of gRPC servers (for a connection without calls). Doubling beyond it would
 * be pointless. */
static const uint64_t LONGEST_INTERVAL_NS = 7200 * CWS_NS_PER_S;

static void abandon(struct cws_pool_connection *c)
{
    struct cws_error err;
    cws_error_set(&err, CWS_TIMED_OUT, "%s: the peer did not answer a PING within %llu s",
                  c->channel->target.authority, (unsigned long long)(ANSWER_NS / CWS_NS_PER_S));
    cws_h2_conn_abandon(c->conn, &err);
}

static void wait_until(struct cws_pool_connection *c, uint64_t due_ns)
{
    if (cws_timer_set(c->channel->loop, &c->doubt_timer, due_ns) != CWS_OK)
        abandon(c); /* or it would stay in doubt for ever */
}

static void ask(struct cws_pool_connection *c, uint64_t now_ns)
{
    c->asked = true;
    c->may_ask_ns = now_ns + c->channel->ping_interval_ns;
    cws_h2_conn_ping(c->conn);
    wait_until(c, now_ns + ANSWER_NS);
}

static void on_doubt_timer(struct cws_timer *timer)
{
    struct cws_pool_connection *c =
        cws_container_of(timer, struct cws_pool_connection, doubt_timer);
    if (!cws_h2_conn_is_doubted(c->conn))
        return; /* the answer came in the same iteration of the loop */
    if (c->asked)
        abandon(c);
    else
        ask(c, cws_clock_now_ns());
}

static unsigned unasked_count(const struct cws_channel *channel)
{
    unsigned count = 0;
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        const struct cws_pool_connection *c =
            cws_list_entry(node, struct cws_pool_connection, node);
        count += c->conn && cws_h2_conn_is_doubted(c->conn) && !c->asked;
    }
    return count;
}

void cws_liveness_suspect(struct cws_pool_connection *c)
{
    uint64_t now_ns = cws_clock_now_ns();
    if (cws_h2_conn_is_doubted(c->conn) ||
        (now_ns < c->may_ask_ns && unasked_count(c->channel) >= MAX_UNASKED))
        return;
    cws_h2_conn_doubt(c->conn);
    cws_channel_want_pump(c->channel); /* calls that waited for room here look elsewhere */
    c->asked = false;
    if (now_ns >= c->may_ask_ns)
        ask(c, now_ns);
    else
        wait_until(c, c->may_ask_ns);
}

void cws_liveness_on_room(struct cws_pool_connection *c)
{
    if (!cws_h2_conn_is_doubted(c->conn))
        cws_timer_cancel(c->channel->loop, &c->doubt_timer);
}

void cws_liveness_on_too_many_pings(struct cws_channel *channel)
{
    if (channel->ping_interval_ns < LONGEST_INTERVAL_NS)
        channel->ping_interval_ns *= 2;
}

/* ---- calls without a deadline, or with one that is far off ---------------------------------- */

/* Suspects each connection that has had streams for the whole interval and received nothing. */
static void sweep(struct cws_channel *channel)
{
    for (struct cws_list *node = channel->connections.next; node != &channel->connections;
         node = node->next) {
        struct cws_pool_connection *c = cws_list_entry(node, struct cws_pool_connection, node);
        if (!c->conn)
            continue;
        uint64_t arrivals = cws_h2_conn_arrivals(c->conn);
        if (cws_h2_conn_stream_count(c->conn) == 0)
            c->quiet_sweeps = 0;
        else if (arrivals != c->arrivals_at_sweep)
            c->quiet_sweeps = 1;
        else
            c->quiet_sweeps++;
        c->arrivals_at_sweep = arrivals;
        if (c->quiet_sweeps > SWEEPS) /* a whole interval since the first of them */
            cws_liveness_suspect(c);
    }
}

/* Without memory for the timer the next call tries again. */
static void set_sweep(struct cws_channel *channel)
{
    (void)!cws_timer_set(channel->loop, &channel->sweep_timer,
                         cws_clock_now_ns() + channel->ping_interval_ns / SWEEPS);
}

static void on_sweep(struct cws_timer *timer)
{
    struct cws_channel *channel = cws_container_of(timer, struct cws_channel, sweep_timer);
    sweep(channel);
    if (channel->long_calls > 0) /* else the next such call begins anew */
        set_sweep(channel);
}

void cws_liveness_watch(struct cws_channel *channel)
{
    if (!channel->sweep_timer.index)
        set_sweep(channel);
}

void cws_liveness_init(struct cws_channel *channel)
{
    cws_timer_init(&channel->sweep_timer, on_sweep);
}

void cws_liveness_init_connection(struct cws_pool_connection *c)
{
    cws_timer_init(&c->doubt_timer, on_doubt_timer);
}
