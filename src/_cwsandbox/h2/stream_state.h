/*
 * The states of a stream's two sides, and the transitions between them. nghttp2 checks what the
 * peer may send. These tables say what the owner may do, and which events it may get next. Pure
 * functions; any thread.
 */
#pragma once

#include "base/base.h"

/* Our side. */
enum cws_h2_sending {
    CWS_H2_SENDING_NONE,     /* not a state: the event is not allowed */
    CWS_H2_SENDING_AWAITED,  /* server: the response has not begun */
    CWS_H2_SENDING_OPEN,     /* a body may be sent */
    CWS_H2_SENDING_PARKED,   /* the same, and nghttp2 waits to be told of more */
    CWS_H2_SENDING_FINISHED, /* END_STREAM after what is queued */
    CWS_H2_SENDING_STATES,
};

enum cws_h2_send_event {
    CWS_H2_SEND_RESPONSE, /* the response's headers, a body follows */
    CWS_H2_SEND_BARE,     /* the response's headers, and nothing more */
    CWS_H2_SEND_BYTES,
    CWS_H2_SEND_END,
    CWS_H2_SEND_RAN_DRY, /* nghttp2 asked for more than there is */
    CWS_H2_SEND_EVENTS,
};

/* The peer's side. */
enum cws_h2_receiving {
    CWS_H2_RECEIVING_NONE,    /* not a state: the event is not allowed */
    CWS_H2_RECEIVING_OPEN,    /* more may come */
    CWS_H2_RECEIVING_INTERIM, /* inside a 1xx response, which nobody is told of */
    CWS_H2_RECEIVING_ENDED,   /* END_STREAM has come */
    CWS_H2_RECEIVING_RESET,   /* RST_STREAM has come */
    CWS_H2_RECEIVING_STATES,
};

enum cws_h2_receive_event {
    CWS_H2_RECEIVE_BLOCK,   /* a block of fields begins */
    CWS_H2_RECEIVE_INTERIM, /* its status is 1xx */
    CWS_H2_RECEIVE_END,
    CWS_H2_RECEIVE_RESET,
    CWS_H2_RECEIVE_EVENTS,
};

/* The state after the event; NONE where it is not allowed. */
enum cws_h2_sending cws_h2_sending_after(enum cws_h2_sending state, enum cws_h2_send_event event);
enum cws_h2_receiving cws_h2_receiving_after(enum cws_h2_receiving state,
                                             enum cws_h2_receive_event event);
