/*
 * Unary methods as rows of a table. Unpacking, faults and freeing are done here, once for all
 * methods. Loop thread only.
 *
 * A new method is a handler and a row. Its message types come from the service definition.
 */
#pragma once

#include "service/service.h"
#include "values/wire.h"

struct cwsd_unary;

struct cwsd_unary_row {
    const char *path; /* NULL ends a table */
    /* Called once, with the unpacked request. It returns true and answers with cwsd_unary_answer or
     * cwsd_unary_fail, at once or later; or it returns false with *fault set, which ends the call.
     * The request lives until the call ends. The handler may take parts out of it. */
    bool (*handle)(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault);
    /* May be NULL. The request cannot be used, and *fault says why. May change the fault into one
     * of the method's own kind. */
    void (*unusable)(struct cwsd_fault *fault);
    /* For handlers that answer later: the size of their own struct, whose first member is the
     * struct cwsd_unary. The rest of it is zero when the handler is called. 0: no struct of its
     * own. */
    size_t size;
    /* May be NULL. The last event, even if nothing was answered: nobody waits for an answer any
     * more. It releases whatever the handler has acquired; the struct is freed after it. */
    void (*closed)(struct cwsd_unary *unary);
};

/* One call. */
struct cwsd_unary {
    struct cws_server_call *call;
    const struct cwsd_unary_method *method;
    void *request; /* NULL before it has arrived and once the call is answered */
    bool handled;  /* the request has arrived */
};

/* A row with the types of its messages. */
struct cwsd_unary_method {
    const struct cwsd_unary_row *row;
    const ProtobufCMethodDescriptor *types;
};

/* The method as an entry of the server's table. `method` must outlive the server. The caller sets
 * the path. */
struct cws_server_method cwsd_unary_server_method(const struct cwsd_unary_method *method);

static inline struct cwsd_pool *cwsd_unary_pool(const struct cwsd_unary *unary)
{
    return cwsd_service_of(unary->call)->pool;
}

/* Ends the call with its response, a message of the method's output type, or with an out-of-memory
 * fault. Always returns true, so that a handler can return it. May call `closed`. */
bool cwsd_unary_answer(struct cwsd_unary *unary, const void *response);
/* The same with a response that is packed already; NULL if there was no memory for it. */
bool cwsd_unary_answer_packed(struct cwsd_unary *unary, struct cws_block *response);
/* Ends the call with a fault after the handler has returned. May call `closed`. */
void cwsd_unary_fail(struct cwsd_unary *unary, const struct cwsd_fault *fault);
