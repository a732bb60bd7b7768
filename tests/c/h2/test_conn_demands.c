/* h2/conn: peers that ask for answers and do not read them. */
#include <arpa/inet.h>

#include "support/h2_peer.h"
#include "support/unit.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static void ignore_data(void *ctx, const uint8_t *data, size_t len)
{
    (void)ctx, (void)data, (void)len;
}

static void ignore_drained(void *ctx)
{
    (void)ctx;
}

static void ignore_closed(void *ctx, const struct cws_error *err)
{
    (void)ctx, (void)err;
}

static const struct cws_transport_events ignore_events = {
    .on_data = ignore_data, .on_drained = ignore_drained, .on_closed = ignore_closed};

/* A frame that the server answers with a frame; the id counts up in those of a request. */
struct demand {
    char frame[32];
    size_t len;
    bool is_request;
};

static const struct demand demands[] = {
    {"\0\0\0\1\5", 9, true},   /* a request without any field: RST_STREAM */
    {"\0\0\x08\6", 17, false}, /* PING */
    {"\0\0\0\4", 9, false},    /* SETTINGS */
};

/* Sends so many of them, or until the server ends it. */
static size_t demand_many(struct h2_side *side, struct cws_loop *loop, const struct demand *demand,
                          size_t most)
{
    uint32_t id = 1;
    size_t sent = 0;
    feed_raw(side->transport, PREFACE "\0\0\0\4\0\0\0\0\0", sizeof(PREFACE) - 1 + 9);
    while (sent < most && !side->closed) {
        for (size_t i = 0; i < 100; i++, sent++, id += 2) {
            char frame[sizeof(demand->frame)];
            uint32_t wire_id = htonl(id);
            memcpy(frame, demand->frame, demand->len);
            if (demand->is_request)
                memcpy(frame + 5, &wire_id, sizeof(wire_id));
            feed_raw(side->transport, frame, demand->len);
        }
        settle(loop);
    }
    return sent;
}

static void check_demands(const struct demand *demand, bool reads)
{
    struct h2_side side;
    struct memory_end *end, *far;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    memory_pair(loop, &end, &far);
    h2_side_open(&side, loop, CWS_H2_SERVER, end, 100, 0);
    cws_transport_start(&far->transport, &ignore_events, NULL);
    far->held = !reads;
    far->room = 1000;
    size_t sent = demand_many(&side, loop, demand, 20000);
    if (reads) {
        assert_int_equal(sent, 20000);
        assert_int_equal(side.closed, 0);
    } else {
        assert_true(sent < 5000);
        assert_int_equal(side.why.status, CWS_PROTOCOL);
        assert_non_null(strstr(side.why.text, "does not read"));
    }
    h2_side_done(&side);
    cws_transport_close(&far->transport);
    loop_close(loop);
    assert_int_equal(cws_alloc_live(), live);
}

static void test_a_peer_that_does_not_read_is_expelled(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(demands); i++)
        check_demands(&demands[i], false);
}

static void test_a_peer_that_reads_may_ask_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(demands); i++)
        check_demands(&demands[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_peer_that_does_not_read_is_expelled),
        UNIT_TEST(test_a_peer_that_reads_may_ask_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
