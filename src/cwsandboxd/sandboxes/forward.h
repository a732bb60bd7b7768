/*
 * A client's connection to a port in a sandbox: bytes are passed on both ways, each side at the
 * pace of the other. Loop thread only.
 *
 * An HTTP client of a port that nobody listens on gets the answer 502; others see the connection
 * end. A client that ends its own sending ends the connection.
 */
#pragma once

#include "box/box.h"
#include "io/transport.h"

/* Those of one endpoint. The struct is its owner's memory. */
struct cwsd_forwards {
    struct cws_loop *loop;
    struct cws_list all;
    size_t count;
};

void cwsd_forwards_init(struct cwsd_forwards *forwards, struct cws_loop *loop);

/* Takes a connection over, also on failure, and frees itself when it ends. `box` NULL: the sandbox
 * does not run. */
void cwsd_forward_start(struct cwsd_forwards *forwards, struct cwsd_box *box, uint16_t port,
                        struct cws_transport *transport);

/* Ends them all at once. */
void cwsd_forwards_end(struct cwsd_forwards *forwards);
