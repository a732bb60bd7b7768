/* grpc/server: which requests become calls, and what happens to them when connections or the server
 * go. */
#include "support/failing.h"
#include "support/server_peer.h"

/* --- requests that are refused --- */

static void check_refused(struct server_bed *bed, struct h2_record *client, const char *status,
                          const char *message)
{
    settle(bed->loop);
    assert_int_equal(bed->service.started, 0);
    assert_int_equal(client->ends, 1);
    assert_says(client, status);
    assert_says(client, message);
    assert_int_equal(cws_server_call_count(bed->server), 0);
    bed_close(bed);
}

static void test_unknown_methods(void **state)
{
    struct server_bed *bed = *state;
    static const char *const paths[] = {"/", "/test.Service/Nothing", ECHO_PATH "x",
                                        "/test.Service/Ech"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(paths); i++) {
        bed_open(bed);
        char message[100];
        snprintf(message, sizeof(message), "grpc-message=unknown method %s;", paths[i]);
        check_refused(bed, bed_request(bed, paths[i], NULL, NULL), "grpc-status=12;", message);
    }
}

static void test_what_is_no_grpc_request(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *first = h2_request(&bed->client, ECHO_PATH);
    settle(bed->loop);
    assert_int_equal(first->ends, 0); /* it is still speaking */
    cws_h2_stream_finish(first->stream);
    check_refused(bed, first, ":status=415;", "content-type=text/plain");
    bed_open(bed);
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":method", "POST"), cws_h2_field_of(":scheme", "http"),
        cws_h2_field_of(":path", ECHO_PATH), cws_h2_field_of(":authority", "test"),
        cws_h2_field_of("content-type", "application/json")};
    struct h2_record *record = h2_record_new(&bed->client);
    record->stream = cws_h2_conn_open(bed->client.conn, fields, CWS_ARRAY_LEN(fields),
                                      &h2_stream_events, record);
    cws_h2_stream_finish(record->stream);
    check_refused(bed, record, ":status=415;", "content-type=text/plain");
}

static void test_malformed_timeouts(void **state)
{
    struct server_bed *bed = *state;
    static const char *const texts[] = {"1", "S", "123456789S", "-1S", "1s"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        bed_open(bed);
        check_refused(bed, bed_request(bed, HOLD_PATH, "grpc-timeout", texts[i]), "grpc-status=13;",
                      "grpc-timeout");
    }
}

/* --- ends --- */

static void test_the_connection_breaks(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    bed_request(bed, HOLD_PATH, NULL, NULL);
    struct h2_record *second = bed_request(bed, HOLD_PATH, NULL, NULL);
    cws_h2_stream_set_manual_credit(second->stream, true);
    settle(bed->loop);
    served_send(service_nth(&bed->service, 1), 3 << 20);
    served_finish(service_nth(&bed->service, 1), CWS_GRPC_OK,
                  NULL); /* finished, but it cannot leave any more */
    settle(bed->loop);
    memory_break(bed->far, CWS_IO, "gone");
    settle(bed->loop);
    assert_int_equal(service_nth(&bed->service, 0)->why, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(service_nth(&bed->service, 1)->why, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(cws_server_call_count(bed->server), 0);
    bed_close(bed);
}

static void test_freeing_the_server_ends_its_calls(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    bed_request(bed, ECHO_PATH, NULL, NULL);
    settle(bed->loop);
    served_send(service_nth(&bed->service, 0), 2 << 20);
    cws_server_free(bed->server);
    bed->server = NULL;
    assert_int_equal(bed->service.closed, 2);
    assert_int_equal(service_nth(&bed->service, 0)->why, CWS_GRPC_UNAVAILABLE);
    settle(bed->loop);
    assert_int_equal(client->closes, 1);
    assert_int_equal(bed->client.closed, 1);
    bed_close(bed);
}

/* --- memory that fails --- */

/* A connection and a call on it: there is an answer, or an end. */
static void try_a_call(struct server_bed *bed, bool *out_ok)
{
    *out_ok = false;
    bed->server = service_server(&bed->service, bed->loop, NULL);
    if (!bed->server)
        return;
    bed_connect(bed, &MEMORY_SHAPES[0]);
    if (!bed->client.conn)
        return;
    struct h2_record *client = h2_record_new(&bed->client);
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":method", "POST"),    cws_h2_field_of(":scheme", "http"),
        cws_h2_field_of(":path", ECHO_PATH),   cws_h2_field_of(":authority", "test"),
        cws_h2_field_of("grpc-timeout", "1H"), cws_h2_field_of("content-type", "application/grpc")};
    client->stream = cws_h2_conn_open(bed->client.conn, fields, CWS_ARRAY_LEN(fields),
                                      &h2_stream_events, client);
    if (!client->stream) {
        client->is_reset = true;
        return;
    }
    static const char pieces[2][9] = {"\0\0\0\0\2x",
                                      "y\0\0\0\0\0"}; /* the first message in two pieces */
    static const size_t lens[2] = {6, 6};
    for (int i = 0; i < 2; i++) {
        struct cws_block *block = cws_block_new(lens[i]);
        if (!block) {
            h2_reset(client, CWS_H2_CANCEL);
            settle(bed->loop);
            return;
        }
        memcpy(block->data, pieces[i], lens[i]);
        cws_h2_stream_send(client->stream, block);
        settle(bed->loop);
        if (!client->stream)
            break;
    }
    if (client->stream)
        cws_h2_stream_finish(client->stream);
    settle(bed->loop);
    assert_true(client->closes == 1 || bed->client.closed == 1);
    *out_ok = strstr(client->fields, "grpc-status=0;") && client->data_len == 12;
}

static bool run_with_failing(struct server_bed *bed, size_t n)
{
    bool ok;
    *bed = (struct server_bed){.live = cws_alloc_live()};
    bed->loop = loop_open();
    service_init(&bed->service);
    cws_list_init(&bed->client.records);
    cws_alloc_fail_at(n);
    try_a_call(bed, &ok);
    bool reached = failing_was_reached(n);
    assert_true(ok || reached);
    bed_close(bed);
    return reached;
}

static void test_each_allocation_may_fail(void **state)
{
    size_t n = 1;
    while (run_with_failing(*state, n))
        n++;
    assert_true(n > 10);
    struct server_bed *bed = *state;
    bed->loop = loop_open();
    cws_alloc_fail_at(1);
    assert_null(service_server(&bed->service, bed->loop, NULL));
    cws_server_free(NULL);
    loop_close(bed->loop);
}

#define SERVER_TEST(function) TEST_WITH(struct server_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_unknown_methods),
        SERVER_TEST(test_what_is_no_grpc_request),
        SERVER_TEST(test_malformed_timeouts),
        SERVER_TEST(test_the_connection_breaks),
        SERVER_TEST(test_freeing_the_server_ends_its_calls),
        SERVER_TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
