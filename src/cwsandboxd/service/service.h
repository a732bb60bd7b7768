/*
 * The methods of the service and what carries them out. Loop thread only.
 *
 * Every method of the .proto files has an entry: the ones offered here, and a polite refusal
 * (UNIMPLEMENTED, CWSANDBOX_NOT_IMPLEMENTED) for the rest.
 */
#pragma once

#include "sandboxes/pool.h"
#include "values/fault.h"

struct cwsd_service {
    struct cwsd_pool *pool;
    const char *token; /* NULL: none is asked for */
    struct cws_server_method *methods;
    size_t method_count;
};

/* Caller's memory; keeps pool and token. CWS_NO_MEMORY. */
enum cws_status cwsd_service_init(struct cwsd_service *service, struct cwsd_pool *pool,
                                  const char *token) CWS_MUST_CHECK;
/* After the server that uses the methods is gone. */
void cwsd_service_done(struct cwsd_service *service);

/* The service a call belongs to: the ctx of the server's options. */
static inline struct cwsd_service *cwsd_service_of(const struct cws_server_call *call)
{
    return cws_server_call_ctx(call);
}

/* First thing in every method's start: false when the call was not authorised, and is finished. */
bool cwsd_service_admit(struct cws_server_call *call);

/* Ends a call with its one response, or with an out-of-memory fault. */
void cwsd_service_answer(struct cws_server_call *call, const void *message);
/* Sends one response of several; false when out of memory. */
bool cwsd_service_send(struct cws_server_call *call, const void *message) CWS_MUST_CHECK;
