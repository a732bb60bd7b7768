/* grpc/liveness: connections whose peer has fallen silent, by a clock that is put forward. */

#include <dlfcn.h>

#include "support/client_peer.h"
#include "support/fake_clock.h"

#include "grpc/channel_private.h"
#include "h2/conn_private.h"

#define SECONDS(n) ((n) * CWS_NS_PER_S)
#define MINUTES(n) (60 * SECONDS(n))

/* ---- PINGs are counted on their way into nghttp2 -------------------------------------------- */

static unsigned pings;

int nghttp2_submit_ping(nghttp2_session *session, uint8_t flags, const uint8_t *opaque_data)
{
    int (*real)(nghttp2_session *, uint8_t, const uint8_t *) =
        (int (*)(nghttp2_session *, uint8_t, const uint8_t *))dlsym(RTLD_NEXT,
                                                                    "nghttp2_submit_ping");
    pings++;
    return real(session, flags, opaque_data);
}

/* ---- the peers ------------------------------------------------------------------------------ */

/* Calls are answered as the path says: /echo at once, /hold never. */
static void answer(struct h2_record *record, char event)
{
    if (event != 'h' || !record->stream || !strstr(record->fields, ":path=/echo"))
        return;
    respond_only(record, "200", "grpc-status", "0");
}

static void open_bed(struct client_bed *bed)
{
    pings = 0;
    client_bed_open_raw(bed, answer);
}

/* What a middlebox does that takes every byte and forwards none: the peer neither hears nor says
 * anything any more. */
static void stall(struct client_bed *bed, unsigned n, bool stalled)
{
    cws_transport_pause(bed->raw[n].conn->transport, stalled);
}

static struct rpc *call(struct client_bed *bed, const char *path, uint64_t limit_ns)
{
    struct rpc *rpc = rpc_start_until(
        bed, path, limit_ns == CWS_NO_DEADLINE ? limit_ns : cws_clock_now_ns() + limit_ns);
    rpc_send(rpc, 5);
    rpc_half_close(rpc);
    return rpc;
}

/* A call that is at the peer, which does not answer it. */
static struct rpc *held_call(struct client_bed *bed, unsigned n, uint64_t limit_ns)
{
    size_t before = bed->accepted > n ? h2_seen(&bed->raw[n]) : 0;
    struct rpc *rpc = call(bed, "/hold", limit_ns);
    WAIT_FOR(bed->loop,
             bed->accepted > n && bed->raw[n].records.next && h2_seen(&bed->raw[n]) > before);
    settle(bed->loop);
    return rpc;
}

static void assert_echo(struct client_bed *bed)
{
    struct rpc *rpc = call(bed, "/echo", MINUTES(60));
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
}

static void complain(struct client_bed *bed, unsigned n, uint32_t code, const char *text)
{
    struct cws_h2_conn *conn = bed->raw[n].conn;
    nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(conn->session), code,
                          (const uint8_t *)text, strlen(text));
    cws_h2_conn_want_flush(conn);
    settle(bed->loop);
}

static size_t connections_of(struct client_bed *bed)
{
    size_t connections, calls;
    cws_channel_count(bed->loop, &connections, &calls);
    return connections;
}

static void advance(struct client_bed *bed, uint64_t ns)
{
    fake_clock_advance(bed->loop, ns);
    settle(bed->loop);
}

/* ---- calls with a deadline ------------------------------------------------------------------ */

static void test_a_deadline_in_silence_moves_calls_elsewhere(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    assert_echo(bed);
    stall(bed, 0, true);
    struct rpc *limited = call(bed, "/echo", SECONDS(1));
    struct rpc *unlimited = call(bed, "/echo", CWS_NO_DEADLINE);
    settle(bed->loop);
    advance(bed, SECONDS(2));
    rpc_assert_ended(limited, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    assert_int_equal(pings, 1);
    assert_int_equal(bed->accepted, 1); /* nobody needs another yet */
    assert_echo(bed);
    assert_int_equal(bed->accepted, 2);
    assert_int_equal(unlimited->done, 0);
    advance(bed, SECONDS(4));
    assert_int_equal(unlimited->done, 0);
    advance(bed, SECONDS(2)); /* five seconds after the PING */
    rpc_wait(unlimited);
    rpc_assert_ended(unlimited, CWS_GRPC_UNAVAILABLE, "did not answer a PING");
    WAIT_FOR(bed->loop, connections_of(bed) == 1);
    client_bed_close(bed);
}

static void test_a_peer_that_answers_is_trusted_again(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *unlimited = held_call(bed, 0, CWS_NO_DEADLINE);
    struct rpc *limited = held_call(bed, 0, SECONDS(1));
    advance(bed, SECONDS(2));
    rpc_assert_ended(limited, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    assert_int_equal(pings, 1);
    settle(bed->loop); /* the answer has come */
    assert_echo(bed);
    advance(bed, SECONDS(60));
    assert_int_equal(bed->accepted, 1);
    assert_int_equal(unlimited->done, 0);
    client_bed_close(bed);
}

/* Whatever comes is a sign of life, not the answer alone. */
static void test_other_calls_answers_leave_no_doubt(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *limited = held_call(bed, 0, SECONDS(1));
    assert_echo(bed);
    stall(bed, 0, true);
    advance(bed, SECONDS(2));
    rpc_assert_ended(limited, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    assert_int_equal(pings, 0);
    stall(bed, 0, false);
    assert_echo(bed);
    assert_int_equal(bed->accepted, 1);
    client_bed_close(bed);
}

static void test_a_late_answer_still_counts(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *unlimited = held_call(bed, 0, CWS_NO_DEADLINE);
    stall(bed, 0, true);
    call(bed, "/hold", SECONDS(1));
    settle(bed->loop);
    advance(bed, SECONDS(2));
    struct rpc *queued = call(bed, "/hold", CWS_NO_DEADLINE); /* goes over a second connection */
    WAIT_FOR(bed->loop, bed->accepted == 2);
    advance(bed, SECONDS(4));
    stall(bed, 0, false);
    WAIT_FOR(bed->loop, cws_h2_conn_arrivals(bed->raw[0].conn) > 2);
    settle(bed->loop);
    advance(bed, SECONDS(60));
    assert_int_equal(unlimited->done + queued->done, 0);
    assert_int_equal(pings, 1);
    client_bed_close(bed);
}

/* Its owner may have given up for another reason than the deadline. */
static void test_an_owner_may_suspect(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    assert_echo(bed);
    stall(bed, 0, true);
    struct rpc *rpc = call(bed, "/hold", CWS_NO_DEADLINE);
    cws_call_suspect(rpc->call); /* it is queued: of no connection */
    settle(bed->loop);
    assert_int_equal(pings, 0);
    cws_call_suspect(rpc->call);
    rpc_cancel(rpc);
    assert_int_equal(pings, 1);
    assert_echo(bed);
    assert_int_equal(bed->accepted, 2);
    client_bed_close(bed);
}

/* All the connections there may be are in doubt: that must not keep the next call waiting. */
static void test_doubt_takes_no_place_in_the_bound(void **state)
{
    struct client_bed *bed = *state;
    pings = 0;
    client_bed_init(bed);
    bed->raw_hook = answer;
    client_bed_listen(bed);
    client_bed_channel(bed, (struct cws_channel_options){.max_connections = 1});
    assert_echo(bed);
    stall(bed, 0, true);
    call(bed, "/hold", SECONDS(1));
    settle(bed->loop);
    advance(bed, SECONDS(2));
    assert_echo(bed);
    assert_int_equal(bed->accepted, 2);
    client_bed_close(bed);
}

/* ---- how often it may be asked -------------------------------------------------------------- */

/* A peer that only answers PINGs, and a program whose calls all run into their limit. */
static void test_pings_keep_their_distance(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    for (unsigned n = 0; n < 30; n++) { /* 600 s */
        call(bed, "/hold", SECONDS(1));
        settle(bed->loop);
        advance(bed, SECONDS(20));
    }
    /* Two calls make a doubt that cannot be settled yet; the connection goes when it is idle. */
    assert_in_range(connections_of(bed), 1, 3);
    assert_in_range(pings, bed->accepted / 2, bed->accepted + 2);
    client_bed_close(bed);
}

/* Limits that are shorter than the peer takes to answer: no call of these needs a connection of its
 * own. */
static void test_short_limits_do_not_multiply_connections(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    assert_echo(bed);
    for (unsigned n = 0; n < 40; n++) { /* less than a second */
        call(bed, "/hold", CWS_NS_PER_S / 100);
        settle(bed->loop);
        advance(bed, CWS_NS_PER_S / 50);
    }
    assert_in_range(connections_of(bed), 1, 6);
    assert_in_range(pings, 1, 6);
    assert_echo(bed);
    client_bed_close(bed);
}

/* Between two PINGs a doubt cannot be settled, but it moves new calls at once. */
static void test_doubt_before_a_ping_is_allowed(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *unlimited = held_call(bed, 0, MINUTES(60));
    held_call(bed, 0, SECONDS(1));
    advance(bed, SECONDS(2)); /* asked, and answered */
    assert_int_equal(pings, 1);
    stall(bed, 0, true);
    call(bed, "/echo", SECONDS(1));
    settle(bed->loop);
    advance(bed, SECONDS(2));
    assert_echo(bed);
    assert_int_equal(bed->accepted, 2);
    assert_int_equal(pings, 1);
    advance(bed, SECONDS(290));
    assert_int_equal(pings, 1);
    advance(bed, SECONDS(10));
    assert_int_equal(pings, 2);
    assert_int_equal(unlimited->done, 0);
    advance(bed, SECONDS(6));
    rpc_wait(unlimited);
    rpc_assert_ended(unlimited, CWS_GRPC_UNAVAILABLE, "did not answer a PING");
    client_bed_close(bed);
}

static void test_the_interval_doubles_when_the_peer_complains(void **state)
{
    static const struct {
        uint32_t code;
        const char *text;
        unsigned times; /* the interval's */
    } rows[] = {
        {NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings", 2},
        {NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings", 4},
        {NGHTTP2_ENHANCE_YOUR_CALM, "excessive_load", 4},
        {NGHTTP2_ENHANCE_YOUR_CALM, "", 4},
        {NGHTTP2_NO_ERROR, "too_many_pings", 4},
    };
    struct client_bed *bed = *state;
    open_bed(bed);
    for (unsigned n = 0; n < CWS_ARRAY_LEN(rows); n++) {
        assert_echo(bed);
        complain(bed, n, rows[n].code, rows[n].text);
        assert_int_equal(bed->channel->ping_interval_ns, rows[n].times * MINUTES(5));
    }
    for (unsigned n = CWS_ARRAY_LEN(rows); n < MAX_RAW; n++) {
        assert_echo(bed);
        complain(bed, n, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    }
    assert_in_range(bed->channel->ping_interval_ns, MINUTES(120), MINUTES(240));
    client_bed_close(bed);
}

/* ---- calls without a deadline --------------------------------------------------------------- */

static void test_five_minutes_of_silence_are_asked_about(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *rpc = held_call(bed, 0, CWS_NO_DEADLINE);
    stall(bed, 0, true);
    for (unsigned n = 0; n < 30; n++)
        advance(bed, SECONDS(10));
    assert_int_equal(pings, 0);
    for (unsigned n = 0; n < 7 && !pings; n++)
        advance(bed, SECONDS(10));
    assert_int_equal(pings, 1);
    assert_int_equal(rpc->done, 0);
    advance(bed, SECONDS(6));
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "did not answer a PING within 5 s");
    assert_echo(bed);
    client_bed_close(bed);
}

/* Nobody wants to wait for a deadline of ten hours on a dead connection. */
static void test_a_far_deadline_is_as_good_as_none(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *rpc = held_call(bed, 0, MINUTES(600));
    stall(bed, 0, true);
    for (unsigned n = 0; n < 8; n++)
        advance(bed, SECONDS(60));
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "did not answer a PING");
    client_bed_close(bed);
}

/* The sweep is under way already and has seen the connection idle. */
static void test_a_call_has_its_own_five_minutes(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *first = held_call(bed, 0, CWS_NO_DEADLINE);
    complain(bed, 0, NGHTTP2_NO_ERROR, ""); /* the first keeps the sweep going, elsewhere */
    for (unsigned n = 0; n < 119; n++) {
        if (n % 5 == 0)
            assert_echo(bed); /* so that the other connection is kept */
        advance(bed, SECONDS(5));
    }
    unsigned before = pings;
    struct rpc *later = held_call(bed, 1, CWS_NO_DEADLINE);
    stall(bed, 0, true);
    stall(bed, 1, true);
    for (unsigned n = 0; n < 60; n++)
        advance(bed, SECONDS(5));
    assert_int_equal(later->done, 0);
    for (unsigned n = 0; n < 15; n++)
        advance(bed, SECONDS(5));
    rpc_wait(later);
    rpc_wait(first);
    rpc_assert_ended(later, CWS_GRPC_UNAVAILABLE, NULL);
    assert_in_range(pings, before + 2, before + 3);
    client_bed_close(bed);
}

static void test_a_quiet_command_lives_for_days(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *rpc = held_call(bed, 0, CWS_NO_DEADLINE);
    for (unsigned n = 0; n < 2 * 24 * 60; n++)
        advance(bed, SECONDS(60));
    assert_int_equal(rpc->done, 0);
    assert_int_equal(bed->accepted, 1);
    /* about every six minutes: never more often than every five */
    assert_in_range(pings, 2 * 24 * 8, 2 * 24 * 12);
    client_bed_close(bed);
}

static void test_without_such_calls_there_is_no_sweep(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *limited = held_call(bed, 0, MINUTES(5));
    assert_int_equal(bed->channel->sweep_timer.index, 0);
    struct rpc *unlimited = held_call(bed, 0, CWS_NO_DEADLINE);
    assert_int_not_equal(bed->channel->sweep_timer.index, 0);
    rpc_cancel(unlimited);
    advance(bed, SECONDS(61)); /* the last sweep finds nothing to look for */
    assert_int_equal(bed->channel->sweep_timer.index, 0);
    stall(bed, 0, true);
    advance(bed, SECONDS(230));
    assert_int_equal(pings, 0);
    assert_int_equal(limited->done, 0);
    client_bed_close(bed);
}

/* One that is being made, one that drains, one that is in use. */
static void test_a_sweep_over_connections_in_every_state(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct rpc *draining = held_call(bed, 0, CWS_NO_DEADLINE);
    complain(bed, 0, NGHTTP2_NO_ERROR, "");
    struct rpc *used = held_call(bed, 1, CWS_NO_DEADLINE);
    stall(bed, 0, true);
    for (unsigned n = 0; n < 8; n++)
        advance(bed, SECONDS(60));
    rpc_wait(draining);
    rpc_assert_ended(draining, CWS_GRPC_UNAVAILABLE, "did not answer a PING");
    assert_int_equal(used->done, 0);
    assert_int_equal(connections_of(bed), 1);
    client_bed_close(bed);
}

static void test_the_interval_is_part_of_what_makes_channels_equal(void **state)
{
    struct client_bed *bed = *state;
    open_bed(bed);
    struct cws_channel *usual = bed->channel;
    client_bed_channel(bed, (struct cws_channel_options){.ping_interval_ns = MINUTES(5)});
    assert_ptr_equal(bed->channel, usual);
    cws_channel_unref(bed->channel);
    client_bed_channel(bed, (struct cws_channel_options){.ping_interval_ns = SECONDS(1)});
    assert_ptr_not_equal(bed->channel, usual);
    cws_channel_unref(usual);
    client_bed_close(bed);
}

#define LIVENESS_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVENESS_TEST(test_a_deadline_in_silence_moves_calls_elsewhere),
        LIVENESS_TEST(test_a_peer_that_answers_is_trusted_again),
        LIVENESS_TEST(test_other_calls_answers_leave_no_doubt),
        LIVENESS_TEST(test_a_late_answer_still_counts),
        LIVENESS_TEST(test_an_owner_may_suspect),
        LIVENESS_TEST(test_doubt_takes_no_place_in_the_bound),
        LIVENESS_TEST(test_pings_keep_their_distance),
        LIVENESS_TEST(test_short_limits_do_not_multiply_connections),
        LIVENESS_TEST(test_doubt_before_a_ping_is_allowed),
        LIVENESS_TEST(test_the_interval_doubles_when_the_peer_complains),
        LIVENESS_TEST(test_five_minutes_of_silence_are_asked_about),
        LIVENESS_TEST(test_a_far_deadline_is_as_good_as_none),
        LIVENESS_TEST(test_a_call_has_its_own_five_minutes),
        LIVENESS_TEST(test_a_quiet_command_lives_for_days),
        LIVENESS_TEST(test_without_such_calls_there_is_no_sweep),
        LIVENESS_TEST(test_a_sweep_over_connections_in_every_state),
        LIVENESS_TEST(test_the_interval_is_part_of_what_makes_channels_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
