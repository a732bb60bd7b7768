/*
 * A client's connection to a port in a sandbox: bytes are passed on both ways, each side at the
 * pace of the other. Loop thread only.
 *
 * An HTTP client of a port that nobody listens on gets the answer 502; others see the connection
 * end. Each side may end its sending alone: a client that does still gets what the program sends,
 * and a program that does what the client sends, until that ends, too.
 * A client that takes nothing, and one with which nothing moves, is not waited for without end.
 *
 * A gate lets only HTTP pass, and looks at a connection's first request: the token is for the
 * connection, as is whoever holds its other end.
 */
#pragma once

#include "box/box.h"
#include "io/transport.h"

struct cwsd_gate {
    const char *token; /* NULL: none is needed; else what 401 is the answer without */
    uint32_t limit_s;  /* from the last of a request to the first of its answer, and for the head of
                        * the first request; then 504 is the answer. Not after an upgrade */
};

/* The connections of one endpoint. The struct is its owner's memory. */
struct cwsd_forwards {
    struct cws_loop *loop;
    struct cwsd_box *const *box;  /* where to; NULL in there: the sandbox does not run */
    uint16_t port;                /* in the box */
    const struct cwsd_gate *gate; /* NULL: any bytes pass */
    struct cws_list all;
    size_t count;
    uint64_t stall_ns, idle_ns, linger_ns; /* CWSD_FORWARD_STALL_S, _IDLE_S and _LINGER_S */
};

/* What `box` and `gate` point to must outlive the forwards. */
void cwsd_forwards_init(struct cwsd_forwards *forwards, struct cws_loop *loop,
                        struct cwsd_box *const *box, uint16_t port, const struct cwsd_gate *gate);

/* Takes a connection over, also on failure. It frees itself when it ends. */
void cwsd_forward_start(struct cwsd_forwards *forwards, struct cws_transport *transport);

/* Ends them all at once. */
void cwsd_forwards_end(struct cwsd_forwards *forwards);
