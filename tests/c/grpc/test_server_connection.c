/* grpc/server_connection: what a client gets before a call of his was admitted, and after. */
#include "support/fake_clock.h"
#include "support/server_peer.h"

#define TOKEN "x-token"

static bool admit(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    if (cws_server_call_header(call, TOKEN))
        return true;
    cws_server_call_finish(call, CWS_GRPC_UNAUTHENTICATED, "who is it?", NULL, 0);
    return false;
}

static const struct cws_server_options guarded = {.admit = admit};

static void open_guarded(struct server_bed *bed)
{
    bed_open_with(bed, &guarded, &MEMORY_SHAPES[0]);
}

/* Somebody who connects; he says what the test feeds. The connection is his to close. */
static struct memory_end *connect_silent(struct server_bed *bed)
{
    struct memory_end *near, *far;
    memory_pair(bed->loop, &near, &far);
    cws_server_accept(bed->server, &far->transport);
    return near;
}

static void hang_up(struct server_bed *bed, struct memory_end *near)
{
    cws_transport_close(&near->transport);
    settle(bed->loop);
}

static void feed(struct memory_end *near, const void *bytes, size_t len)
{
    assert_int_equal(cws_transport_write(&near->transport, bytes, len), CWS_OK);
}

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                              "\0\0\0\4\0\0\0\0\0";

static size_t connections(struct server_bed *bed)
{
    settle(bed->loop);
    return cws_server_connection_count(bed->server);
}

/* --- time --- */

static void test_a_preface_that_does_not_come(void **state)
{
    struct server_bed *bed = *state;
    static const struct cws_server_options open_to_all = {0};
    const struct cws_server_options *const kinds[] = {&guarded, &open_to_all};
    for (size_t i = 0; i < CWS_ARRAY_LEN(kinds); i++) {
        bed_open_with(bed, kinds[i], &MEMORY_SHAPES[0]);
        struct memory_end *silent = connect_silent(bed);
        struct memory_end *half = connect_silent(bed);
        feed(half, PREFACE, sizeof(PREFACE) - 2);
        fake_clock_advance(bed->loop, CWS_SERVER_PREFACE_NS - CWS_NS_PER_S);
        assert_int_equal(connections(bed), 3);
        fake_clock_advance(bed->loop, 2 * CWS_NS_PER_S);
        assert_int_equal(connections(bed), 1); /* the one that speaks HTTP/2 */
        hang_up(bed, silent);
        hang_up(bed, half);
        bed_close(bed);
    }
}

static void test_a_first_call_that_does_not_come(void **state)
{
    struct server_bed *bed = *state;
    open_guarded(bed);
    fake_clock_advance(bed->loop, CWS_SERVER_STRANGER_NS - CWS_NS_PER_S);
    struct h2_record *refused = bed_request(bed, HOLD_PATH, NULL, NULL);
    assert_int_equal(connections(bed), 1);
    assert_says(refused, "grpc-status=16;");
    fake_clock_advance(bed->loop, 2 * CWS_NS_PER_S);
    assert_int_equal(connections(bed), 0); /* trying does not prolong it */
    assert_int_equal(bed->client.closed, 1);
    assert_int_equal(bed->service.started, 0);
    bed_close(bed);
}

static void test_nobody_is_hurried_who_may_call(void **state)
{
    struct server_bed *bed = *state;
    bed_open(bed); /* asks for nothing */
    fake_clock_advance(bed->loop, 100 * CWS_SERVER_STRANGER_NS);
    assert_int_equal(connections(bed), 1);
    bed_close(bed);
    open_guarded(bed);
    struct h2_record *client = bed_request(bed, ECHO_PATH, TOKEN, "y");
    cws_h2_stream_finish(client->stream);
    settle(bed->loop);
    assert_says(client, "grpc-status=0;");
    fake_clock_advance(bed->loop, 100 * CWS_SERVER_STRANGER_NS);
    assert_int_equal(connections(bed), 1);
    bed_close(bed);
}

static const struct cws_identity *show_identity(const struct cws_transport *t)
{
    static const struct cws_identity identity = {.uri = "someone:"};
    (void)t;
    return &identity;
}

static void test_who_has_shown_a_certificate_is_no_stranger(void **state)
{
    struct server_bed *bed = *state;
    open_guarded(bed);
    struct memory_end *near, *far;
    memory_pair(bed->loop, &near, &far);
    struct cws_transport_ops ops = *far->transport.ops;
    ops.identity = show_identity;
    far->transport.ops = &ops;
    cws_server_accept(bed->server, &far->transport);
    feed(near, PREFACE, sizeof(PREFACE) - 1);
    assert_int_equal(connections(bed), 2);
    fake_clock_advance(bed->loop, 100 * CWS_SERVER_STRANGER_NS);
    assert_int_equal(connections(bed), 1);
    hang_up(bed, near);
    assert_int_equal(connections(bed), 0);
    bed_close(bed);
}

static bool says(const struct cws_identity *identity, void *answer)
{
    assert_string_equal(identity->uri, "someone:");
    return *(const bool *)answer;
}

static void test_whose_time_is_over_is_let_go(void **state)
{
    struct server_bed *bed = *state;
    bool over = false;
    bed_open(bed); /* one without a certificate, who is not asked about */
    struct memory_end *near, *far;
    memory_pair(bed->loop, &near, &far);
    struct cws_transport_ops ops = *far->transport.ops;
    ops.identity = show_identity;
    far->transport.ops = &ops;
    cws_server_accept(bed->server, &far->transport);
    feed(near, PREFACE, sizeof(PREFACE) - 1);
    cws_server_drain(bed->server, says, &over);
    assert_int_equal(connections(bed), 2);
    over = true;
    cws_server_drain(bed->server, says, &over);
    assert_int_equal(connections(bed), 1);
    hang_up(bed, near);
    bed_close(bed);
}

/* --- numbers --- */

static void test_strangers_make_room_for_each_other(void **state)
{
    struct server_bed *bed = *state;
    struct memory_end *silent[CWS_SERVER_MAX_STRANGERS + 5];
    open_guarded(bed);
    bed_request(bed, HOLD_PATH, TOKEN, "y"); /* is none any more */
    settle(bed->loop);
    for (size_t i = 0; i < CWS_ARRAY_LEN(silent); i++)
        silent[i] = connect_silent(bed);
    assert_int_equal(connections(bed), CWS_SERVER_MAX_STRANGERS + 1);
    for (size_t i = 0; i < CWS_ARRAY_LEN(silent); i++)
        assert_int_equal(silent[i]->ending, i < 5); /* the oldest went */
    assert_int_equal(bed->client.closed, 0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(silent); i++)
        hang_up(bed, silent[i]);
    assert_int_equal(connections(bed), 1);
    bed_close(bed);
}

static void test_a_stranger_has_so_many_tries(void **state)
{
    struct server_bed *bed = *state;
    open_guarded(bed);
    for (size_t i = 0; i < CWS_SERVER_STRANGER_CALLS; i++) {
        struct h2_record *record = bed_request(bed, HOLD_PATH, NULL, NULL);
        assert_int_equal(connections(bed), 1);
        assert_says(record, "grpc-status=16;");
    }
    struct h2_record *last = bed_request(bed, HOLD_PATH, TOKEN, "y");
    assert_int_equal(connections(bed), 0);
    assert_int_equal(last->closes, 1);
    assert_true(last->end.unprocessed);
    assert_int_equal(bed->service.started, 0);
    bed_close(bed);
}

static void test_who_is_admitted_once_may_try_on(void **state)
{
    struct server_bed *bed = *state;
    open_guarded(bed);
    bed_request(bed, HOLD_PATH, TOKEN, "y");
    settle(bed->loop);
    for (size_t i = 0; i < 2 * CWS_SERVER_STRANGER_CALLS; i++) {
        struct h2_record *record = bed_request(bed, HOLD_PATH, NULL, NULL);
        settle(bed->loop);
        assert_says(record, "grpc-status=16;"); /* each call needs the token all the same */
    }
    assert_int_equal(connections(bed), 1);
    assert_int_equal(bed->service.started, 1);
    bed_close(bed);
}

/* --- header lists --- */

/* A request whose list of headers has this size. */
static struct h2_record *request_of_size(struct server_bed *bed, size_t size, const char *name)
{
    static char value[CWS_SERVER_HEADER_LIST + 1];
    size_t others = sizeof(":methodPOST") + sizeof(":schemehttp") + sizeof(":path" HOLD_PATH) +
                    sizeof(":authoritytest") + sizeof("content-typeapplication/grpc") - 5 + 6 * 32;
    size_t len = size - others - strlen(name);
    memset(value, 'v', len);
    value[len] = '\0';
    struct h2_record *record = bed_request(bed, HOLD_PATH, name, value);
    unsigned started = bed->service.started;
    RUN_UNTIL(bed->loop, record->closes || bed->service.started > started);
    return record;
}

static void check_list(struct server_bed *bed, size_t size, const char *name, bool fits)
{
    unsigned started = bed->service.started;
    struct h2_record *record = request_of_size(bed, size, name);
    if (fits) {
        assert_int_equal(bed->service.started, started + 1);
        return;
    }
    char message[64];
    assert_int_equal(bed->service.started, started);
    assert_int_equal(record->ends, 1);
    assert_says(record, ":status=431;content-type=application/grpc;grpc-status=8;");
    snprintf(message, sizeof(message), "headers are larger than %zu bytes;", size - 1);
    assert_says(record, message);
}

static void test_header_lists_have_a_limit(void **state)
{
    struct server_bed *bed = *state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(MEMORY_SHAPES); i++) {
        bed_open_with(bed, &guarded, &MEMORY_SHAPES[i]);
        check_list(bed, CWS_SERVER_STRANGER_HEADER_LIST + 1, TOKEN, false);
        check_list(bed, CWS_SERVER_STRANGER_HEADER_LIST, TOKEN, true);
        /* nghttp2 as a client sends no more, and as a server counts the pieces of a CONTINUATION:
         * for the rest there is test_daemon_strangers.py. */
        if (!MEMORY_SHAPES[i].piece)
            check_list(bed, CWS_SERVER_HEADER_LIST - 256, TOKEN, true);
        assert_int_equal(connections(bed), 1);
        bed_close(bed);
    }
}

#define CONNECTION_TEST(function) TEST_WITH(struct server_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONNECTION_TEST(test_a_preface_that_does_not_come),
        CONNECTION_TEST(test_a_first_call_that_does_not_come),
        CONNECTION_TEST(test_nobody_is_hurried_who_may_call),
        CONNECTION_TEST(test_who_has_shown_a_certificate_is_no_stranger),
        CONNECTION_TEST(test_whose_time_is_over_is_let_go),
        CONNECTION_TEST(test_strangers_make_room_for_each_other),
        CONNECTION_TEST(test_a_stranger_has_so_many_tries),
        CONNECTION_TEST(test_who_is_admitted_once_may_try_on),
        CONNECTION_TEST(test_header_lists_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
