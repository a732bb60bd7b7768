/*
 * What all methods share: the pool that they work on, who may call them, and how they answer. Loop
 * thread only.
 */
#pragma once

#include "io/allowance.h"
#include "sandboxes/pool.h"
#include "values/fault.h"

/* The ctx of the server. */
struct cwsd_service {
    struct cwsd_pool *pool;
    struct cws_allowance unsent_files;
    struct timespec started; /* the daemon, in time of day */
    const char *token;       /* NULL: no token is required, and anyone who can connect may call */
};

static inline struct cwsd_service *cwsd_service_of(const struct cws_server_call *call)
{
    return cws_server_call_ctx(call);
}

/* The server's `admit` if a token is required. False if the call does not carry it; the call is
 * then finished. */
bool cwsd_service_admit(struct cws_server_call *call, void *ctx);

/* Ends a call with its one response, or with an out-of-memory fault. */
void cwsd_service_answer(struct cws_server_call *call, const void *message);
/* Sends one response of several; false when out of memory. */
bool cwsd_service_send(struct cws_server_call *call, const void *message) CWS_MUST_CHECK;
