/* grpc/call: what its owner holds holds the peer back, and nothing else does. */
#include "support/client_peer.h"

enum { WINDOW = 1024 * 1024, PIECE = 100 * 1024 };

static struct rpc *start_holding(struct client_bed *bed)
{
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    struct cws_call_options options = {
        .path = HOLD_PATH, .deadline_ns = CWS_NO_DEADLINE, .holds_back = true};
    assert_non_null(rpc);
    rpc->bed = bed;
    cws_list_push_back(&bed->rpcs, &rpc->node);
    rpc->call = cws_call_start(bed->channel, &options, &rpc_events, rpc);
    assert_non_null(rpc->call);
    rpc_send(rpc, 1);
    return rpc;
}

/* Its owner keeps all it gets. */
static void hold_all(struct rpc *rpc, char event)
{
    if (event == 'm')
        cws_call_set_held(rpc->call, rpc->bytes);
}

static void send_pieces(struct served *served, size_t count)
{
    for (size_t i = 0; i < count; i++)
        served_send(served, PIECE);
}

static void finish(struct client_bed *bed, struct rpc *rpc, struct served *served)
{
    served_finish(served, CWS_GRPC_OK, NULL);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    assert_false(rpc->differs);
    client_bed_close(bed);
}

static void test_nothing_is_held(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = start_holding(bed);
    struct served *served = wait_served(bed, 0);
    send_pieces(served, 100);
    WAIT_FOR(bed->loop, rpc->messages == 100);
    finish(bed, rpc, served);
}

static void test_all_is_held_until_it_is_not(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = start_holding(bed);
    struct served *served = wait_served(bed, 0);
    rpc->hook = hold_all;
    send_pieces(served, 100);
    WAIT_FOR(bed->loop, rpc->messages == WINDOW / PIECE);
    settle(bed->loop);
    assert_int_equal(rpc->messages, WINDOW / PIECE);
    assert_true(cws_server_call_pending(served->call) > 80 * PIECE);
    /* With most of it let go, most of a window more comes. */
    rpc->hook = NULL;
    cws_call_set_held(rpc->call, PIECE);
    WAIT_FOR(bed->loop, rpc->messages == 100);
    finish(bed, rpc, served);
}

/* The bytes of a message that is not whole are nobody's yet: one larger than the window comes in,
 * and counts when its owner has it. */
static void test_a_message_larger_than_the_window(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    struct rpc *rpc = start_holding(bed);
    struct served *served = wait_served(bed, 0);
    rpc->hook = hold_all;
    served_send(served, 5 * WINDOW);
    WAIT_FOR(bed->loop, rpc->messages == 1);
    send_pieces(served, 30);
    settle(bed->loop);
    assert_in_range(rpc->messages, 1, 1 + WINDOW / PIECE);
    assert_true(cws_server_call_pending(served->call) > 15 * PIECE);
    rpc->hook = NULL;
    cws_call_set_held(rpc->call, 0);
    WAIT_FOR(bed->loop, rpc->messages == 31);
    finish(bed, rpc, served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH(struct client_bed, test_nothing_is_held),
        TEST_WITH(struct client_bed, test_all_is_held_until_it_is_not),
        TEST_WITH(struct client_bed, test_a_message_larger_than_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
