/* h2/stream_state: which events each state allows. What they lead to is seen in test_stream.c. */
#include "h2/stream_state.h"
#include "support/unit.h"

/* A letter for each event, in the order of the enum, where it is allowed. */
static const char *sending_allows(enum cws_h2_sending state)
{
    static const char letters[] = "rbsed"; /* response, bare, send, end, dry */
    static char text[CWS_H2_SEND_EVENTS + 1];
    size_t n = 0;
    for (enum cws_h2_send_event event = 0; event < CWS_H2_SEND_EVENTS; event++)
        if (cws_h2_sending_after(state, event) != CWS_H2_SENDING_NONE)
            text[n++] = letters[event];
    text[n] = '\0';
    return text;
}

static const char *receiving_allows(enum cws_h2_receiving state)
{
    static const char letters[] = "bier"; /* block, interim, end, reset */
    static char text[CWS_H2_RECEIVE_EVENTS + 1];
    size_t n = 0;
    for (enum cws_h2_receive_event event = 0; event < CWS_H2_RECEIVE_EVENTS; event++)
        if (cws_h2_receiving_after(state, event) != CWS_H2_RECEIVING_NONE)
            text[n++] = letters[event];
    text[n] = '\0';
    return text;
}

static void test_what_this_side_may_do(void **state)
{
    (void)state;
    assert_string_equal(sending_allows(CWS_H2_SENDING_AWAITED), "rb"); /* no body before headers */
    assert_string_equal(sending_allows(CWS_H2_SENDING_OPEN), "sed");
    assert_string_equal(sending_allows(CWS_H2_SENDING_PARKED), "se");
    assert_string_equal(sending_allows(CWS_H2_SENDING_FINISHED), "");
    assert_string_equal(sending_allows(CWS_H2_SENDING_NONE), "");
}

static void test_what_the_peer_may_do(void **state)
{
    (void)state;
    assert_string_equal(receiving_allows(CWS_H2_RECEIVING_OPEN), "bier");
    assert_string_equal(receiving_allows(CWS_H2_RECEIVING_INTERIM), "br"); /* it cannot end there */
    assert_string_equal(receiving_allows(CWS_H2_RECEIVING_ENDED), "r");
    assert_string_equal(receiving_allows(CWS_H2_RECEIVING_RESET), "");
    assert_string_equal(receiving_allows(CWS_H2_RECEIVING_NONE), "");
}

static void test_a_stream_of_either_role_comes_to_its_end(void **state)
{
    (void)state;
    enum cws_h2_sending sending = CWS_H2_SENDING_AWAITED;
    static const enum cws_h2_send_event sent[] = {CWS_H2_SEND_RESPONSE, CWS_H2_SEND_BYTES,
                                                  CWS_H2_SEND_RAN_DRY, CWS_H2_SEND_BYTES,
                                                  CWS_H2_SEND_END};
    for (size_t i = 0; i < CWS_ARRAY_LEN(sent); i++)
        sending = cws_h2_sending_after(sending, sent[i]);
    assert_int_equal(sending, CWS_H2_SENDING_FINISHED);
    enum cws_h2_receiving receiving = CWS_H2_RECEIVING_OPEN;
    static const enum cws_h2_receive_event received[] = {
        CWS_H2_RECEIVE_BLOCK, CWS_H2_RECEIVE_INTERIM, CWS_H2_RECEIVE_BLOCK, CWS_H2_RECEIVE_BLOCK,
        CWS_H2_RECEIVE_END};
    for (size_t i = 0; i < CWS_ARRAY_LEN(received); i++)
        receiving = cws_h2_receiving_after(receiving, received[i]);
    assert_int_equal(receiving, CWS_H2_RECEIVING_ENDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_this_side_may_do),
        UNIT_TEST(test_what_the_peer_may_do),
        UNIT_TEST(test_a_stream_of_either_role_comes_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
