/*
 * What all methods share: the pool that they work on, who may call them, and how they answer. Loop
 * thread only.
 */
#pragma once

#include "io/allowance.h"
#include "sandboxes/pool.h"
#include "service/direct.h"
#include "store/claims.h"
#include "store/database.h"
#include "values/fault.h"

/* The ctx of the servers: the gateway's, and that of the direct data plane. */
struct cwsd_service {
    struct cwsd_pool *pool;
    struct cwsd_database *database;
    const struct cwsd_claims *claims; /* NULL: no registered volume can be used */
    struct cws_allowance unsent_files;
    struct timespec started; /* the daemon, in time of day */
    const char *token;       /* NULL: no token is required, and anyone who can connect may call */
    struct cwsd_direct *direct; /* NULL: there is no direct data plane */
};

static inline struct cwsd_service *cwsd_service_of(const struct cws_server_call *call)
{
    return cws_server_call_ctx(call);
}

/* The server's `admit` if a token is required. False if the call does not carry it; the call is
 * then finished. */
bool cwsd_service_admit(struct cws_server_call *call, void *ctx);
/* The `admit` of the direct data plane's server, likewise. */
bool cwsd_service_admit_direct(struct cws_server_call *call, void *ctx);

/* Each handler asks this before it acts on a sandbox: whether the caller's certificate, if the call
 * came by the direct data plane, is for that one. False with *fault. */
bool cwsd_service_check_sandbox(const struct cws_server_call *call, const char *sandbox_id,
                                struct cwsd_fault *fault);

/* Ends a call with its one response, or with an out-of-memory fault. */
void cwsd_service_answer(struct cws_server_call *call, const void *message);
/* Sends one response of several; false when out of memory. */
bool cwsd_service_send(struct cws_server_call *call, const void *message) CWS_MUST_CHECK;
