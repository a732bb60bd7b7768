/*
 * The end of a call: code, message, and the serialized google.rpc.Status that may come with it.
 * Owned memory; not thread-safe (the operation that carries it is handed over whole).
 */
#pragma once

#include "grpc/code.h"

struct cws_grpc_status {
    int code;         /* as received: numbers outside enum cws_grpc_code are kept */
    char *message;    /* percent-decoded, invalid UTF-8 left as it is; NULL: none */
    uint8_t *details; /* the values of grpc-status-details-bin: see cws_grpc_status_add_details */
    size_t details_len;
    bool local; /* made on this side (deadline, lost connection, limits), not received */
};

void cws_grpc_status_init(struct cws_grpc_status *status);
void cws_grpc_status_done(struct cws_grpc_status *status);

/* Makes it a local one of this code and message (printf), in place of whatever it was. A message
 * that does not fit memory is left out. */
void cws_grpc_status_set(struct cws_grpc_status *status, int code, const char *fmt, ...)
    CWS_PRINTF(3, 4);

/* Details are kept as a sequence of {uint32 big-endian length, bytes}, one per value received. */
enum cws_status cws_grpc_status_add_details(struct cws_grpc_status *status, const uint8_t *bytes,
                                            size_t len) CWS_MUST_CHECK;

/* Moves; `from` is as after init. `to` must be initialised or done. */
void cws_grpc_status_move(struct cws_grpc_status *to, struct cws_grpc_status *from);
