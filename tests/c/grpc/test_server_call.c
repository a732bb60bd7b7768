/* grpc/server_call: what a method hears of a call, and a client of its answer. */
#include "support/server_peer.h"

/* --- calls in good order --- */

static void test_echo(void **state)
{
    struct server_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        bed_open_with(bed, NULL, &MEMORY_SHAPES[i]);
        struct h2_record *client = bed_request(bed, ECHO_PATH, NULL, NULL);
        static const size_t lens[] = {0, 1, 5, 3000, 0, 40000};
        size_t sum = 0;
        for (size_t m = 0; m < CWS_ARRAY_LEN(lens); m++) {
            send_message(client, lens[m]);
            sum += lens[m];
        }
        cws_h2_stream_finish(client->stream);
        RUN_UNTIL(bed->loop, client->closes);
        struct served *served = service_nth(&bed->service, 0);
        assert_int_equal(served->messages, CWS_ARRAY_LEN(lens));
        assert_int_equal(served->bytes, sum);
        assert_false(served->differs);
        assert_int_equal(served->why, CWS_GRPC_OK);
        assert_int_equal(client->data_len, sum + CWS_ARRAY_LEN(lens) * CWS_FRAME_PREFIX);
        assert_string_equal(client->fields,
                            ":status=200;content-type=application/grpc;|grpc-status=0;|");
        assert_int_equal(cws_server_call_count(bed->server), 0);
        bed_close(bed);
    }
}

static void test_an_answer_without_messages_is_one_block(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    assert_string_equal(served->events, "s");
    assert_int_equal(cws_server_call_count(bed->server), 1);
    served_finish(served, CWS_GRPC_NOT_FOUND, "no \xe2\x82\xac here\n100%");
    settle(bed->loop);
    assert_string_equal(client->fields, ":status=200;content-type=application/grpc;grpc-status=5;"
                                        "grpc-message=no %E2%82%AC here%0A100%25;|");
    assert_string_equal(served->events, "sc");
    assert_int_equal(served->why, CWS_GRPC_NOT_FOUND);
    bed_close(bed);
}

static void test_details_go_out_in_base64(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    served_send(served, 3);
    cws_server_call_finish(served->call, CWS_GRPC_ABORTED, "", (const uint8_t *)"\0\xff\x10z", 4);
    settle(bed->loop);
    assert_string_equal(client->fields, ":status=200;content-type=application/grpc;|grpc-status=10;"
                                        "grpc-status-details-bin=AP8Qeg;|");
    bed_close(bed);
}

static void check_headers(struct served *served, char event)
{
    if (event != 's')
        return;
    assert_string_equal(cws_server_call_header(served->call, "x-trace"), "abc");
    assert_string_equal(cws_server_call_header(served->call, ":path"), HOLD_PATH);
    assert_null(cws_server_call_header(served->call, "absent"));
    assert_null(cws_server_call_header(served->call, "abc")); /* values are no names */
}

static void test_headers_are_there_at_the_start(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    bed->service.hook = check_headers;
    bed_request(bed, HOLD_PATH, "x-trace", "abc");
    settle(bed->loop);
    struct cws_server_call *call = service_nth(&bed->service, 0)->call;
    assert_null(cws_server_call_header(call, "x-trace")); /* calls may be long */
    assert_true(cws_server_call_deadline_ns(call) == CWS_NO_DEADLINE);
    bed_close(bed);
}

static void test_messages_that_are_refused(void **state)
{
    struct server_bed *bed = *state;
    const struct cws_server_options options = {.max_message = 1000};
    static const struct {
        const char bytes[10];
        size_t len;
        const char *status, *message;
    } rows[] = {
        {"\0\0\0\x03\xe9", 5, "grpc-status=8;", "larger than max (1001 vs. 1000)"},
        {"\0\xff\xff\xff\xff", 5, "grpc-status=8;", "larger than max (4294967295 vs. 1000)"},
        {"\1\0\0\0\1x", 6, "grpc-status=12;", "compressed"},
        {"\x7f\0\0\0\1x", 6, "grpc-status=12;", "compressed"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        bed_open_with(bed, &options, &MEMORY_SHAPES[1]);
        struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
        send_message(client, 1000); /* allowed */
        send_bytes(client, rows[i].bytes, rows[i].len);
        send_message(client, 5); /* not listened to any more */
        RUN_UNTIL(bed->loop, client->closes);
        struct served *served = service_nth(&bed->service, 0);
        assert_int_equal(served->messages, 1);
        assert_string_equal(served->events, "smc");
        assert_says(client, rows[i].status);
        assert_says(client, rows[i].message);
        bed_close(bed);
    }
}

static void test_a_request_that_ends_inside_a_message(void **state)
{
    struct server_bed *bed = *state;
    static const char bytes[] = {0, 0, 0, 0, 5, 'a', 'b'};
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        bed_open(bed);
        struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
        send_message(client, 3);
        send_bytes(client, bytes, len);
        cws_h2_stream_finish(client->stream);
        settle(bed->loop);
        struct served *served = service_nth(&bed->service, 0);
        assert_string_equal(served->events,
                            "smc"); /* no half-close: the request is not what it was meant to be */
        assert_says(client, "grpc-status=13;");
        assert_says(client, "inside a message");
        bed_close(bed);
    }
}

/* --- ends --- */

static void test_the_deadline_passes(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, "grpc-timeout", "20m");
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    assert_true(cws_server_call_deadline_ns(served->call) < CWS_NO_DEADLINE);
    PUMP_UNTIL(bed->loop, served->closed);
    assert_int_equal(served->why, CWS_GRPC_DEADLINE_EXCEEDED);
    settle(bed->loop);
    assert_says(client, "grpc-status=4;");
    assert_int_equal(client->closes, 1);
    assert_int_equal(cws_server_call_count(bed->server), 0);
    bed_close(bed);
}

/* The client is not reading: the status cannot leave, but the method is free at once. */
static void test_the_deadline_passes_with_an_answer_queued(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, "grpc-timeout", "20m");
    cws_h2_stream_set_manual_credit(client->stream, true);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    served_send(served, 3 << 20);
    assert_true(cws_server_call_pending(served->call) > 0);
    PUMP_UNTIL(bed->loop, served->closed);
    assert_int_equal(served->why, CWS_GRPC_DEADLINE_EXCEEDED);
    while (!client->closes) {
        cws_h2_stream_consume(client->stream, 1 << 20);
        settle(bed->loop);
    }
    assert_says(client, "grpc-status=4;");
    assert_int_equal(client->data_len, (3 << 20) + CWS_FRAME_PREFIX);
    bed_close(bed);
}

static void test_a_timeout_of_nothing_ends_at_once(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, "grpc-timeout", "0n");
    PUMP_UNTIL(bed->loop, client->closes);
    assert_says(client, "grpc-status=4;");
    assert_string_equal(service_nth(&bed->service, 0)->events, "sc");
    bed_close(bed);
}

static void test_the_client_resets(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    send_message(client, 10);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    served_send(served, 3 << 20);
    h2_reset(client, CWS_H2_CANCEL);
    settle(bed->loop);
    assert_int_equal(served->why, CWS_GRPC_CANCELLED);
    assert_int_equal(cws_server_call_count(bed->server), 0);
    bed_close(bed);
}

static char finish_at;

static void finish_in_event(struct served *served, char event)
{
    if (event != finish_at || !served->call)
        return;
    if (strchr(served->events, 'm') && event != 'd')
        served_send(served, 10);
    served_finish(served, CWS_GRPC_ABORTED, "as asked");
    served_finish(served, CWS_GRPC_OK, "too late"); /* the first one counts */
}

static void test_finishing_inside_each_event(void **state)
{
    struct server_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        for (const char *event = "smhd"; *event; event++) {
            bed_open_with(bed, NULL, &MEMORY_SHAPES[i]);
            bed->service.hook = finish_in_event;
            finish_at = *event;
            struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
            for (int m = 0; m < 3; m++)
                send_message(client, 100);
            cws_h2_stream_finish(client->stream);
            settle(bed->loop);
            struct served *served = service_nth(&bed->service, 0);
            if (*event == 'd')
                served_send(served, 5);
            RUN_UNTIL(bed->loop, client->closes);
            assert_says(client, "grpc-status=10;");
            assert_int_equal(served->closed, 1);
            assert_int_equal(served->why, CWS_GRPC_ABORTED);
            assert_int_equal(served->messages, *event == 's' ? 0 : *event == 'm' ? 1 : 3);
            bed_close(bed);
        }
    }
}

static void test_messages_after_the_end_are_dropped(void **state)
{
    struct server_bed *bed = *state;
    struct h2_settled settled = {0};
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    served_finish(served, CWS_GRPC_OK, NULL);
    struct cws_block *block = cws_server_message_new(5);
    block->settled = h2_on_settled;
    block->owner = &settled;
    cws_server_call_send(served->call, block);
    assert_int_equal(settled.closed, 1);
    settle(bed->loop);
    assert_int_equal(client->data_len, 0);
    bed_close(bed);
}

/* --- back-pressure --- */

static void test_pending_and_drained(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    struct h2_record *client = bed_request(bed, HOLD_PATH, NULL, NULL);
    cws_h2_stream_set_manual_credit(client->stream, true);
    settle(bed->loop);
    struct served *served = service_nth(&bed->service, 0);
    size_t len = 3 << 20;
    served_send(served, len);
    settle(bed->loop);
    assert_int_equal(cws_server_call_pending(served->call),
                     len + CWS_FRAME_PREFIX - client->data_len);
    assert_string_equal(served->events, "s");
    while (!strchr(served->events, 'd')) {
        cws_h2_stream_consume(client->stream, 1 << 20);
        settle(bed->loop);
    }
    assert_int_equal(cws_server_call_pending(served->call), 0);
    assert_int_equal(client->data_len, len + CWS_FRAME_PREFIX);
    bed_close(bed);
}

/* Messages of all sizes, also larger than the window, each given back some time after it came. */
static void test_manual_credit_neither_stalls_nor_gives_too_much(void **state)
{
    struct server_bed *bed = *state;
    static const size_t lens[] = {0,
                                  1,
                                  700,
                                  5000,
                                  REQUEST_WINDOW / 2,
                                  3,
                                  REQUEST_WINDOW,
                                  REQUEST_WINDOW + 1,
                                  10,
                                  3 * REQUEST_WINDOW,
                                  0,
                                  2};
    for (size_t shape = 0; shape < CWS_ARRAY_LEN(MEMORY_SHAPES); shape += 3) {
        bed_open_with(bed, NULL, &MEMORY_SHAPES[shape]);
        struct h2_record *client = bed_request(bed, CREDIT_PATH, NULL, NULL);
        settle(bed->loop);
        struct served *served = service_nth(&bed->service, 0);
        size_t sent = 0, given_back = 0;
        for (int round = 0; round < (shape ? 2 : 5); round++)
            for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
                send_message(client, lens[i]);
                sent += lens[i];
            }
        while (served->bytes < sent) {
            size_t before = served->bytes;
            settle(bed->loop);
            if (served->bytes == before &&
                given_back < served->bytes) { /* stopped: some of it is used up */
                size_t n = (served->bytes - given_back + 1) / 2;
                cws_server_call_consume(served->call, n);
                given_back += n;
            }
        }
        cws_server_call_consume(served->call, sent - given_back);
        settle(bed->loop);
        /* All is given back, so the window is what it was: about that much comes without a word
         * from the method. */
        for (int i = 0; i < 1000; i++)
            send_message(client, 1000);
        settle(bed->loop);
        size_t more = served->bytes - sent;
        assert_in_range(more, REQUEST_WINDOW / 3, REQUEST_WINDOW + 20000);
        assert_false(served->differs);
        bed_close(bed);
    }
}

/* A message is announced, and a part of it sent. */
static struct h2_record *send_part(struct server_bed *bed, const char *path, size_t len,
                                   size_t part)
{
    struct h2_record *client = bed_request(bed, path, NULL, NULL);
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + part);
    assert_non_null(block);
    memset(block->data, 0, block->len);
    cws_frame_prefix(block->data, len);
    cws_h2_stream_send(client->stream, block);
    settle(bed->loop);
    return client;
}

static void send_zeroes(struct h2_record *client, size_t len)
{
    struct cws_block *block = cws_block_new(len);
    assert_non_null(block);
    memset(block->data, 0, len);
    cws_h2_stream_send(client->stream, block);
}

/* However many are sent at once, those that a connection has no room for wait in the client. */
static void test_large_messages_wait_for_each_other(void **state)
{
    static const char *const paths[] = {HOLD_PATH, CREDIT_PATH};
    const size_t megabyte = 1 << 20, large = 90 * megabyte;
    struct server_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(paths); i++) {
        bed_open(bed);
        struct h2_record *first = send_part(bed, paths[i], large, megabyte);
        struct h2_record *second = send_part(bed, paths[i], 3 * megabyte, megabyte);
        struct h2_record *third = send_part(bed, paths[i], large, megabyte);
        struct h2_record *fourth = send_part(bed, paths[i], large, megabyte);
        struct h2_record *fifth = send_part(bed, paths[i], large, megabyte);
        struct h2_record *small = send_part(bed, paths[i], 100000, 100000);
        assert_int_equal(cws_h2_stream_pending(first->stream), 0);
        assert_int_equal(cws_h2_stream_pending(second->stream), 0);
        assert_int_equal(cws_h2_stream_pending(third->stream), 0);
        assert_int_equal(cws_h2_stream_pending(small->stream), 0);
        struct h2_record *const waiting[] = {fourth, fifth};
        for (size_t k = 0; k < CWS_ARRAY_LEN(waiting); k++)
            assert_in_range(cws_h2_stream_pending(waiting[k]->stream),
                            megabyte - 2 * REQUEST_WINDOW, megabyte);

        send_zeroes(second, 2 * megabyte); /* what has begun goes on */
        settle(bed->loop);
        assert_int_equal(service_nth(&bed->service, 1)->messages, 1);

        h2_reset(first, CWS_H2_CANCEL);
        settle(bed->loop);
        assert_int_equal(cws_h2_stream_pending(fourth->stream), 0);
        assert_true(cws_h2_stream_pending(fifth->stream) > 0);
        served_finish(service_nth(&bed->service, 2), CWS_GRPC_ABORTED, NULL);
        RUN_UNTIL(bed->loop, third->closes);
        settle(bed->loop);
        assert_int_equal(cws_h2_stream_pending(fifth->stream), 0);
        bed_close(bed); /* with two in the middle */
    }
}

static void use_up_at_once(struct served *served, char event)
{
    static size_t used_up;
    if (event == 's')
        used_up = 0;
    if (event == 'm') {
        cws_server_call_consume(served->call, served->bytes - used_up);
        used_up = served->bytes;
    }
}

static void test_manual_credit_given_back_inside_message(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed);
    bed->service.hook = use_up_at_once;
    struct h2_record *client = bed_request(bed, CREDIT_PATH, NULL, NULL);
    size_t sent = 0;
    for (size_t i = 0; i < 200; i++) {
        send_message(client, i * 777);
        sent += i * 777;
    }
    RUN_UNTIL(bed->loop, bed->service.started && service_nth(&bed->service, 0)->bytes == sent);
    assert_false(service_nth(&bed->service, 0)->differs);
    bed_close(bed);
}

#define CALL_TEST(function) TEST_WITH(struct server_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(test_echo),
        CALL_TEST(test_an_answer_without_messages_is_one_block),
        CALL_TEST(test_details_go_out_in_base64),
        CALL_TEST(test_headers_are_there_at_the_start),
        CALL_TEST(test_messages_that_are_refused),
        CALL_TEST(test_a_request_that_ends_inside_a_message),
        CALL_TEST(test_the_deadline_passes),
        CALL_TEST(test_the_deadline_passes_with_an_answer_queued),
        CALL_TEST(test_a_timeout_of_nothing_ends_at_once),
        CALL_TEST(test_the_client_resets),
        CALL_TEST(test_finishing_inside_each_event),
        CALL_TEST(test_messages_after_the_end_are_dropped),
        CALL_TEST(test_pending_and_drained),
        CALL_TEST(test_manual_credit_neither_stalls_nor_gives_too_much),
        CALL_TEST(test_manual_credit_given_back_inside_message),
        CALL_TEST(test_large_messages_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
