#include "h2/stream_state.h"

/* Entries that are not named are CWS_H2_SENDING_NONE. */
static const enum cws_h2_sending sending_table[CWS_H2_SENDING_STATES][CWS_H2_SEND_EVENTS] = {
    [CWS_H2_SENDING_AWAITED] =
        {
            [CWS_H2_SEND_RESPONSE] = CWS_H2_SENDING_OPEN,
            [CWS_H2_SEND_BARE] = CWS_H2_SENDING_FINISHED,
        },
    [CWS_H2_SENDING_OPEN] =
        {
            [CWS_H2_SEND_BYTES] = CWS_H2_SENDING_OPEN,
            [CWS_H2_SEND_END] = CWS_H2_SENDING_FINISHED,
            [CWS_H2_SEND_RAN_DRY] = CWS_H2_SENDING_PARKED,
        },
    /* nghttp2 asks for nothing until it is told. */
    [CWS_H2_SENDING_PARKED] =
        {
            [CWS_H2_SEND_BYTES] = CWS_H2_SENDING_OPEN,
            [CWS_H2_SEND_END] = CWS_H2_SENDING_FINISHED,
        },
    [CWS_H2_SENDING_FINISHED] = {0},
};

static const enum cws_h2_receiving receiving_table[CWS_H2_RECEIVING_STATES][CWS_H2_RECEIVE_EVENTS] =
    {
        [CWS_H2_RECEIVING_OPEN] =
            {
                [CWS_H2_RECEIVE_BLOCK] = CWS_H2_RECEIVING_OPEN,
                [CWS_H2_RECEIVE_INTERIM] = CWS_H2_RECEIVING_INTERIM,
                [CWS_H2_RECEIVE_END] = CWS_H2_RECEIVING_ENDED,
                [CWS_H2_RECEIVE_RESET] = CWS_H2_RECEIVING_RESET,
            },
        /* An interim response does not end a stream; the next block ends the interim. */
        [CWS_H2_RECEIVING_INTERIM] =
            {
                [CWS_H2_RECEIVE_BLOCK] = CWS_H2_RECEIVING_OPEN,
                [CWS_H2_RECEIVE_RESET] = CWS_H2_RECEIVING_RESET,
            },
        /* RFC 9113, 8.1: a server that has answered may ask for the rest to be left out. */
        [CWS_H2_RECEIVING_ENDED] = {[CWS_H2_RECEIVE_RESET] = CWS_H2_RECEIVING_RESET},
        [CWS_H2_RECEIVING_RESET] = {0},
};

enum cws_h2_sending cws_h2_sending_after(enum cws_h2_sending state, enum cws_h2_send_event event)
{
    return sending_table[state][event];
}

enum cws_h2_receiving cws_h2_receiving_after(enum cws_h2_receiving state,
                                             enum cws_h2_receive_event event)
{
    return receiving_table[state][event];
}
