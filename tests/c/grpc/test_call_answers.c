/* grpc/call: peers that answer in other ways than gRPC asks for, and what is sent again. */
#include "support/client_peer.h"

/* --- answers --- */

static void respond(struct h2_record *record, const char *status, const char *type)
{
    struct cws_h2_field fields[] = {cws_h2_field_of(":status", status),
                                    cws_h2_field_of("content-type", type)};
    assert_int_equal(cws_h2_stream_respond(record->stream, fields, 2), CWS_OK);
}

static void send_raw(struct h2_record *record, const char *bytes, size_t len)
{
    struct cws_block *block = cws_block_new(len);
    memcpy(block->data, bytes, len);
    cws_h2_stream_send(record->stream, block);
}

static void http_503(struct h2_record *record)
{
    respond(record, "503", "text/html");
    send_raw(record, "<html>", 6);
    cws_h2_stream_finish(record->stream);
}

static void http_401(struct h2_record *record)
{
    respond_only(record, "401", "x", "y");
}

static void http_404_with_status(struct h2_record *record)
{
    respond_only(record, "404", "grpc-status", "5"); /* the status given is the one that counts */
}

static void html(struct h2_record *record)
{
    respond(record, "200", "text/html");
    send_raw(record, "<html>", 6);
}

static void no_content_type(struct h2_record *record)
{
    h2_respond(record);
}

static void grpc_subtype(struct h2_record *record)
{
    respond(record, "200", "application/grpc+proto");
    h2_finish_with(record, "grpc-status", "0");
}

static void no_trailers(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    send_raw(record, "\0\0\0\0\1", 6);
    cws_h2_stream_finish(record->stream);
}

static void trailers_without_status(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    h2_finish_with(record, "x", "y");
}

static void ends_inside_a_message(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    send_raw(record, "\0\0\0\0\5ab", 7);
    h2_finish_with(record, "grpc-status", "0");
}

static void ends_inside_a_message_with_an_error(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    send_raw(record, "\0\0\0\0\5ab", 7);
    h2_finish_with(record, "grpc-status", "9");
}

static void compressed(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    send_raw(record, "\1\0\0\0\1x", 6);
}

static void strange_code(struct h2_record *record)
{
    respond_only(record, "200", "grpc-status", "77");
}

static void code_in_words(struct h2_record *record)
{
    respond_only(record, "200", "grpc-status", "OK");
}

static void code_too_long(struct h2_record *record)
{
    respond_only(record, "200", "grpc-status", "123456789");
}

static void reset_cancel(struct h2_record *record)
{
    h2_reset(record, CWS_H2_CANCEL);
}

static void reset_calm(struct h2_record *record)
{
    h2_reset(record, 0xb);
}

static void reset_no_error(struct h2_record *record)
{
    h2_reset(record, CWS_H2_NO_ERROR);
}

static void reset_after_headers(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    settle(((struct client_bed *)record->side->hook_ctx)->loop);
    h2_reset(record, CWS_H2_REFUSED_STREAM); /* too late for that: it has answered */
}

static void connection_gone(struct h2_record *record)
{
    h2_free(record->side);
}

static void malformed_message(struct h2_record *record)
{
    respond(record, "200", "application/grpc");
    struct cws_h2_field trailers[] = {cws_h2_field_of("grpc-status", "3"),
                                      cws_h2_field_of("grpc-message", "%41 100% %zz")};
    assert_int_equal(cws_h2_stream_finish_with(record->stream, trailers, 2), CWS_OK);
}

static const struct {
    const char *name;
    void (*answer)(struct h2_record *record);
    int code;
    const char *says;
} ANSWERS[] = {
    {"HTTP 503", http_503, CWS_GRPC_UNAVAILABLE, "503"},
    {"HTTP 401", http_401, CWS_GRPC_UNAUTHENTICATED, "401"},
    {"HTTP 404 with a status", http_404_with_status, CWS_GRPC_NOT_FOUND, ""},
    {"a web page", html, CWS_GRPC_UNKNOWN, "content-type"},
    {"no content type", no_content_type, CWS_GRPC_UNKNOWN, "content-type"},
    {"a subtype of gRPC", grpc_subtype, CWS_GRPC_OK, ""},
    {"no trailers", no_trailers, CWS_GRPC_INTERNAL, "without a status"},
    {"trailers without status", trailers_without_status, CWS_GRPC_INTERNAL, "without a status"},
    {"half a message, then OK", ends_inside_a_message, CWS_GRPC_INTERNAL, "inside a message"},
    {"half a message, then an error", ends_inside_a_message_with_an_error,
     CWS_GRPC_FAILED_PRECONDITION, ""},
    {"a compressed message", compressed, CWS_GRPC_INTERNAL, "compressed"},
    {"a code of the future", strange_code, 77, ""},
    {"a code in words", code_in_words, CWS_GRPC_UNKNOWN, ""},
    {"a code that is too long", code_too_long, CWS_GRPC_UNKNOWN, ""},
    {"reset: CANCEL", reset_cancel, CWS_GRPC_CANCELLED, "code 8"},
    {"reset: ENHANCE_YOUR_CALM", reset_calm, CWS_GRPC_RESOURCE_EXHAUSTED, "code 11"},
    {"reset: NO_ERROR", reset_no_error, CWS_GRPC_INTERNAL, "without a status"},
    {"refused after headers", reset_after_headers, CWS_GRPC_UNAVAILABLE, "code 7"},
    {"connection gone", connection_gone, CWS_GRPC_UNAVAILABLE, "connection lost"},
    {"a malformed message", malformed_message, CWS_GRPC_INVALID_ARGUMENT, "A 100% %zz"},
};

static void test_each_kind_of_answer(void **state)
{
    struct client_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(ANSWERS); i++) {
        client_bed_open_raw(bed, NULL);
        struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
        WAIT_FOR(bed->loop,
                 bed->accepted && h2_seen(&bed->raw[0]) && h2_nth(&bed->raw[0], 0)->ends);
        ANSWERS[i].answer(h2_nth(&bed->raw[0], 0));
        rpc_wait(rpc);
        if (rpc->status.code != ANSWERS[i].code)
            print_error("%s:\n", ANSWERS[i].name);
        rpc_assert_ended(rpc, ANSWERS[i].code, ANSWERS[i].says);
        assert_int_equal(bed->accepted, 1); /* nothing was sent again */
        assert_int_equal(rpc->settled.ok + rpc->settled.closed, 1);
        client_bed_close(bed);
    }
}

static void test_details_in_several_values(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, NULL);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 5);
    WAIT_FOR(bed->loop, bed->accepted && h2_seen(&bed->raw[0]));
    struct cws_h2_field fields[] = {
        cws_h2_field_of(":status", "200"),
        cws_h2_field_of("content-type", "application/grpc"),
        cws_h2_field_of("grpc-status", "3"),
        cws_h2_field_of("grpc-status-details-bin",
                        "QQ==,,QUI,not base64!"), /* what is malformed is left out */
        cws_h2_field_of("grpc-status-details-bin", "QUJD"),
    };
    assert_int_equal(cws_h2_stream_respond_only(h2_nth(&bed->raw[0], 0)->stream, fields, 5),
                     CWS_OK);
    rpc_wait(rpc);
    assert_int_equal(rpc->status.details_len, 18);
    assert_memory_equal(rpc->status.details, "\0\0\0\1A\0\0\0\2AB\0\0\0\3ABC", 18);
    client_bed_close(bed);
}

/* --- sending again --- */

static unsigned refusals; /* how many more streams are refused */

static void refuse_some(struct h2_record *record, char event)
{
    if (!record->stream)
        return;
    if (event == 'h' && refusals) {
        refusals--;
        h2_reset(record, CWS_H2_REFUSED_STREAM);
    } else if (event == 'e') {
        respond(record, "200", "application/grpc");
        h2_finish_with(record, "grpc-status", "0");
    }
}

static void test_refused_streams_are_sent_again(void **state)
{
    struct client_bed *bed = *state;
    for (unsigned n = 1; n <= 4; n++) {
        refusals = n;
        client_bed_open_raw(bed, refuse_some);
        struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 1000);
        rpc_wait(rpc);
        rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
        assert_int_equal(h2_seen(&bed->raw[0]), n + 1);
        struct h2_record *last = h2_nth(&bed->raw[0], n);
        assert_int_equal(last->data_len, 1000 + CWS_FRAME_PREFIX); /* the whole message once more */
        assert_int_equal(rpc->settled.ok, 1);                      /* and settled once */
        assert_int_equal(rpc->settled.closed, 0);
        client_bed_close(bed);
    }
}

static void test_a_peer_that_always_refuses(void **state)
{
    struct client_bed *bed = *state;
    refusals = UINT32_MAX;
    client_bed_open_raw(bed, refuse_some);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 10);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, "code 7");
    assert_in_range(h2_seen(&bed->raw[0]), 3, 20);
    assert_int_equal(rpc->settled.closed, 1);
    client_bed_close(bed);
}

static void test_the_deadline_ends_the_retries(void **state)
{
    struct client_bed *bed = *state;
    refusals = UINT32_MAX;
    client_bed_open_raw(bed, refuse_some);
    struct rpc *rpc = rpc_start_until(bed, HOLD_PATH, cws_clock_deadline_ns(0.05));
    rpc_send(rpc, 10);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_DEADLINE_EXCEEDED, NULL);
    client_bed_close(bed);
}

static void test_cancelled_between_two_tries(void **state)
{
    struct client_bed *bed = *state;
    refusals = UINT32_MAX;
    client_bed_open_raw(bed, refuse_some);
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 10);
    WAIT_FOR(bed->loop, bed->accepted && h2_seen(&bed->raw[0]) == 5); /* from then on with pauses */
    settle(bed->loop);
    rpc_cancel(rpc);
    assert_int_equal(rpc->settled.closed, 1);
    client_bed_close(bed);
}

/* A second message has left: what the peer got of it is not known to be nothing. */
static void test_a_call_with_further_messages_is_not_sent_again(void **state)
{
    struct client_bed *bed = *state;
    refusals = 1;
    client_bed_open_raw(bed, refuse_some);
    struct rpc *rpc = rpc_start(bed, HOLD_PATH);
    rpc_send(rpc, 10);
    rpc_send(rpc, 10);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    assert_int_equal(h2_seen(&bed->raw[0]), 1);
    assert_int_equal(rpc->settled.ok + rpc->settled.closed, 2);
    client_bed_close(bed);
}

static void test_a_call_without_messages_is_sent_again(void **state)
{
    struct client_bed *bed = *state;
    refusals = 2;
    client_bed_open_raw(bed, refuse_some);
    struct rpc *rpc = rpc_start(bed, HOLD_PATH);
    rpc_half_close(rpc);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

static void drain_first(struct h2_record *record, char event)
{
    struct client_bed *bed = record->side->hook_ctx;
    if (record->side == &bed->raw[0])
        return;
    refuse_some(record, event);
}

/* The first connection is told to go while a request is on its way: the request goes to another
 * one. */
static void test_what_crosses_a_goaway_goes_elsewhere(void **state)
{
    struct client_bed *bed = *state;
    refusals = 0;
    client_bed_open_raw(bed, drain_first);
    struct rpc *first = rpc_unary(bed, HOLD_PATH, 10);
    WAIT_FOR(bed->loop, bed->accepted && h2_seen(&bed->raw[0]) && h2_nth(&bed->raw[0], 0)->ends);
    /* The server's GOAWAY is made before it has read the next request. */
    cws_h2_conn_drain(bed->raw[0].conn);
    struct rpc *second = rpc_unary(bed, HOLD_PATH, 10);
    rpc_wait(second);
    rpc_assert_ended(second, CWS_GRPC_OK, NULL);
    assert_int_equal(bed->accepted, 2);
    assert_int_equal(h2_seen(&bed->raw[0]), 1);
    assert_int_equal(first->done, 0); /* what was begun goes on there */
    respond_only(h2_nth(&bed->raw[0], 0), "200", "grpc-status", "0");
    rpc_wait(first);
    rpc_assert_ended(first, CWS_GRPC_OK, NULL);
    client_bed_close(bed);
}

static void go_away_first(struct client_bed *bed, struct h2_side *side)
{
    if (side == &bed->raw[0])
        cws_h2_conn_drain(side->conn);
}

static void test_a_connection_that_says_goodbye_at_once(void **state)
{
    struct client_bed *bed = *state;
    refusals = 0;
    client_bed_open_raw(bed, refuse_some);
    bed->on_accept = go_away_first;
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 10);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_OK, NULL);
    assert_int_equal(bed->accepted, 2);
    client_bed_close(bed);
}

static void go_away(struct client_bed *bed, struct h2_side *side)
{
    (void)bed;
    cws_h2_conn_drain(side->conn);
}

/* Every connection is closed as soon as it is made: the call is told instead of dialling for
 * ever. */
static void test_connections_that_all_say_goodbye(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open_raw(bed, NULL);
    bed->on_accept = go_away;
    struct rpc *rpc = rpc_unary(bed, HOLD_PATH, 10);
    rpc_wait(rpc);
    rpc_assert_ended(rpc, CWS_GRPC_UNAVAILABLE, NULL);
    client_bed_close(bed);
}

#define CALL_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALL_TEST(test_each_kind_of_answer),
        CALL_TEST(test_details_in_several_values),
        CALL_TEST(test_refused_streams_are_sent_again),
        CALL_TEST(test_a_peer_that_always_refuses),
        CALL_TEST(test_the_deadline_ends_the_retries),
        CALL_TEST(test_cancelled_between_two_tries),
        CALL_TEST(test_a_call_with_further_messages_is_not_sent_again),
        CALL_TEST(test_a_call_without_messages_is_sent_again),
        CALL_TEST(test_what_crosses_a_goaway_goes_elsewhere),
        CALL_TEST(test_a_connection_that_says_goodbye_at_once),
        CALL_TEST(test_connections_that_all_say_goodbye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
