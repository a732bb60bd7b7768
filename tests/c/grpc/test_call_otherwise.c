/* grpc/call: a call that has another channel to go to, and one that only asks for a connection. */
#include "support/client_peer.h"

#define DIRECT  "/test.Direct/Do"
#define GATEWAY "/test.Gateway/Do"

/* What the peer answers to DIRECT. */
static const char *direct_code, *direct_message;

static void answer(struct h2_record *record, char event)
{
    if (event != 'h' || !record->stream)
        return;
    if (!strstr(record->fields, DIRECT)) {
        respond_only(record, "200", "grpc-status", "0");
        return;
    }
    respond_failed(record, direct_code, direct_message);
}

/* Two channels of one loop: bed->channel is the other one. */
struct two {
    struct client_bed *bed;
    struct cws_channel *direct;
};

static void open_two(struct two *two, struct client_bed *bed, const char *direct_url)
{
    struct cws_error err = {0};
    two->bed = bed;
    /* Another limit makes it another channel, even to the same place. */
    const struct cws_channel_options options = {.url = direct_url ? direct_url : bed->url,
                                                .max_connections = 3};
    if (cws_channel_new(bed->loop, &options, &two->direct, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_ptr_not_equal(two->direct, bed->channel);
}

static void close_two(struct two *two)
{
    cws_channel_unref(two->direct);
    client_bed_close(two->bed);
}

static struct rpc *start_on(struct two *two, const char *path, bool has_other)
{
    const struct cws_call_options options = {
        .path = path,
        .deadline_ns = CWS_NO_DEADLINE,
        .otherwise = has_other ? two->bed->channel : NULL,
        .otherwise_path = GATEWAY,
        .is_refusal = says_moved,
    };
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    assert_non_null(rpc);
    rpc->bed = two->bed;
    cws_list_push_back(&two->bed->rpcs, &rpc->node);
    rpc->call = cws_call_start(two->direct, &options, &rpc_events, rpc);
    assert_non_null(rpc->call);
    return rpc;
}

static struct rpc *unary_on(struct two *two, size_t len)
{
    struct rpc *rpc = start_on(two, DIRECT, true);
    rpc_send(rpc, len);
    rpc_half_close(rpc);
    return rpc;
}

static unsigned seen(struct client_bed *bed, const char *path)
{
    unsigned n = 0;
    for (unsigned i = 0; i < bed->accepted; i++)
        for (struct cws_list *node = bed->raw[i].records.next; node != &bed->raw[i].records;
             node = node->next)
            n += strstr(cws_list_entry(node, struct h2_record, node)->fields, path) != NULL;
    return n;
}

static void test_no_connection(void **state)
{
    struct client_bed *bed = *state;
    struct two two;
    client_bed_open_raw(bed, answer);
    open_two(&two, bed, "unix:///nobody/listens/here");
    struct rpc *first = unary_on(&two, 5), *second = unary_on(&two, 100000);
    rpc_wait(first);
    rpc_wait(second);
    rpc_assert_ended(first, CWS_GRPC_OK, NULL);
    rpc_assert_ended(second, CWS_GRPC_OK, NULL);
    assert_int_equal(seen(bed, GATEWAY), 2);
    /* Without another channel it fails. */
    struct rpc *alone = start_on(&two, DIRECT, false);
    rpc_wait(alone);
    rpc_assert_ended(alone, CWS_GRPC_UNAVAILABLE, NULL);
    close_two(&two);
}

static void test_refused_before_anything_was_done(void **state)
{
    static const size_t sizes[] = {0, 5, 300000}; /* the last is refused before it has left whole */
    struct client_bed *bed = *state;
    struct two two;
    direct_code = "14";
    direct_message = "moved";
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++) {
        client_bed_open_raw(bed, answer);
        open_two(&two, bed, NULL);
        struct rpc *rpc = unary_on(&two, sizes[i]);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        assert_int_equal(seen(bed, DIRECT), 1);
        assert_int_equal(seen(bed, GATEWAY), 1);
        assert_int_equal(rpc->settled.ok + rpc->settled.closed, 1);
        assert_false(cws_channel_is_connected(two.direct)); /* for those who come later */
        assert_true(cws_channel_is_connected(bed->channel));
        close_two(&two);
    }
}

static void test_other_failures_are_told(void **state)
{
    static const struct {
        const char *code, *message;
        int told;
    } rows[] = {{"14", "gone", CWS_GRPC_UNAVAILABLE}, {"8", "moved", CWS_GRPC_RESOURCE_EXHAUSTED}};
    struct client_bed *bed = *state;
    struct two two;
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        direct_code = rows[i].code;
        direct_message = rows[i].message;
        client_bed_open_raw(bed, answer);
        open_two(&two, bed, NULL);
        struct rpc *rpc = unary_on(&two, 5);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, rows[i].told, rows[i].message);
        assert_int_equal(seen(bed, GATEWAY), 0);
        assert_true(cws_channel_is_connected(two.direct));
        close_two(&two);
    }
}

static void test_a_second_message_has_left(void **state)
{
    struct client_bed *bed = *state;
    struct two two;
    direct_code = "14";
    direct_message = "moved";
    client_bed_open_raw(bed, answer);
    open_two(&two, bed, NULL);
    struct rpc *rpc = start_on(&two, DIRECT, true);
    rpc_send(rpc, 5);
    rpc_send(rpc, 5);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "moved");
    assert_int_equal(seen(bed, GATEWAY), 0);
    close_two(&two);
}

static void test_cancelled_on_either_channel(void **state)
{
    struct client_bed *bed = *state;
    struct two two;
    client_bed_open_raw(bed, answer);
    open_two(&two, bed, "unix:///nobody/listens/here");
    rpc_cancel(unary_on(&two, 5));
    struct rpc *moved = unary_on(&two, 5);
    pump(bed->loop);
    if (!moved->done)
        rpc_cancel(moved);
    settle(bed->loop);
    size_t connections, calls;
    cws_channel_count(bed->loop, &connections, &calls);
    assert_int_equal(calls, 0);
    close_two(&two);
}

static void test_only_a_connection(void **state)
{
    struct client_bed *bed = *state;
    struct two two;
    client_bed_open_raw(bed, answer);
    open_two(&two, bed, NULL);
    assert_false(cws_channel_is_connected(two.direct));
    for (int i = 0; i < 2; i++) {
        struct rpc *rpc = start_on(&two, NULL, false);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        assert_true(cws_channel_is_connected(two.direct));
    }
    assert_int_equal(bed->accepted, 1);
    assert_true(cws_list_is_empty(&bed->raw[0].records)); /* nothing was asked for */
    close_two(&two);
}

static void test_no_connection_to_be_had(void **state)
{
    struct client_bed *bed = *state;
    struct two two;
    client_bed_open_raw(bed, answer);
    open_two(&two, bed, "unix:///nobody/listens/here");
    struct rpc *rpc = start_on(&two, NULL, false);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    close_two(&two);
}

int main(void)
{
#define TEST(name) TEST_WITH(struct client_bed, name)
    const struct CMUnitTest tests[] = {
        TEST(test_no_connection),
        TEST(test_refused_before_anything_was_done),
        TEST(test_other_failures_are_told),
        TEST(test_a_second_message_has_left),
        TEST(test_cancelled_on_either_channel),
        TEST(test_only_a_connection),
        TEST(test_no_connection_to_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
