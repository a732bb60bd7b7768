/*
 * Methods of one request and one response, as rows of a table. Admission, unpacking, faults and
 * freeing are done here, once for all of them. Loop thread only.
 *
 * A new method is a handler and a row: the types of its messages are those of the service
 * definition.
 */
#pragma once

#include "service/service.h"
#include "values/wire.h"

struct cwsd_unary;

struct cwsd_unary_row {
    const char *path; /* NULL ends a table */
    /* Called once, with the request. Answers with cwsd_unary_answer, at once or later, and returns
     * true; or returns false with *fault set, and the call ends with that. The request lives until
     * then; a handler may take parts out of it. */
    bool (*handle)(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault);
    /* Only for handlers that answer later. `size` is that of the struct that begins with the struct
     * cwsd_unary; all of it is zero when the handler is called. */
    size_t size;
    /* Last, also when nothing was answered: gives up what the handler began. Nobody waits for an
     * answer any more. The memory goes with it. */
    void (*closed)(struct cwsd_unary *unary);
};

/* One call. */
struct cwsd_unary {
    struct cws_server_call *call;
    const struct cwsd_unary_method *method;
    void *request; /* NULL before it came and once the call is answered */
    bool handled;  /* the request came */
};

/* A row with the types of its messages. */
struct cwsd_unary_method {
    const struct cwsd_unary_row *row;
    const ProtobufCMethodDescriptor *types;
};

/* The server's view of it; `method` must outlive the server. Its path is the caller's to set. */
struct cws_server_method cwsd_unary_server_method(const struct cwsd_unary_method *method);

static inline struct cwsd_pool *cwsd_unary_pool(const struct cwsd_unary *unary)
{
    return cwsd_service_of(unary->call)->pool;
}

/* Ends the call with its response (of the row's type), or with an out-of-memory fault. Returns true
 * for a handler to return. `closed` may be called from inside. */
bool cwsd_unary_answer(struct cwsd_unary *unary, const void *response);
/* Ends the call with a fault after the handler has returned. `closed` may be called from inside. */
void cwsd_unary_fail(struct cwsd_unary *unary, const struct cwsd_fault *fault);
