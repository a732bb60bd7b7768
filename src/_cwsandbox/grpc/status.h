/*
 * How a call ended: code, message, and the serialized google.rpc.Status that may come with them.
 * Owns its memory. Not thread-safe: it is handed from thread to thread with its operation.
 */
#pragma once

#include "grpc/code.h"

struct cws_grpc_status {
    int code;         /* as received, even if it is not in enum cws_grpc_code */
    char *message;    /* percent-decoded; invalid UTF-8 is left as it is; NULL: none */
    uint8_t *details; /* the values of grpc-status-details-bin; for the form see
                         cws_grpc_status_add_details */
    size_t details_len;
    bool local; /* made on this side (deadline, lost connection, limits) rather than received */
};

void cws_grpc_status_init(struct cws_grpc_status *status);
void cws_grpc_status_done(struct cws_grpc_status *status);

/* Replaces it by a local status with this code and message (printf). When out of memory the message
 * is left out. */
void cws_grpc_status_set(struct cws_grpc_status *status, int code, const char *fmt, ...)
    CWS_PRINTF(3, 4);

/* Appends one received value to the details, which are a sequence of {uint32 big-endian length,
 * bytes}. CWS_NO_MEMORY. */
enum cws_status cws_grpc_status_add_details(struct cws_grpc_status *status, const uint8_t *bytes,
                                            size_t len) CWS_MUST_CHECK;

/* Moves `from` to `to`; `from` is then as after init. `to` must hold nothing (after init or
 * done). */
void cws_grpc_status_move(struct cws_grpc_status *to, struct cws_grpc_status *from);
