/*
 * What all methods have in common: what carries them out, who may call them, how they answer. Loop
 * thread only.
 */
#pragma once

#include "sandboxes/pool.h"
#include "values/fault.h"

/* The ctx of the server. */
struct cwsd_service {
    struct cwsd_pool *pool;
    const char *token; /* NULL: none is asked for, and who can connect may call */
};

static inline struct cwsd_service *cwsd_service_of(const struct cws_server_call *call)
{
    return cws_server_call_ctx(call);
}

/* The server's `admit` where a token is asked for: false when the call does not carry it, and is
 * finished. */
bool cwsd_service_admit(struct cws_server_call *call, void *ctx);

/* Ends a call with its one response, or with an out-of-memory fault. */
void cwsd_service_answer(struct cws_server_call *call, const void *message);
/* Sends one response of several; false when out of memory. */
bool cwsd_service_send(struct cws_server_call *call, const void *message) CWS_MUST_CHECK;
