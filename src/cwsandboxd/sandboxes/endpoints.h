/*
 * The addresses outside at which a sandbox's services are reached: for each exposed service a port
 * of its own on the host's loopback device. They are there from the create request on, so that the
 * answer can name them, and end with the sandbox. Loop thread only.
 */
#pragma once

#include "box/box.h"
#include "values/fault.h"
#include "values/pb.h"

struct cwsd_endpoints;

/* Opens them for a checked spec. `*box` is the sandbox's box while it runs, else NULL; the pointer
 * must outlive the endpoints, and so must the spec. *out_endpoints is NULL if no service is
 * exposed. False with *fault set: UNAVAILABLE if a port cannot be had. */
bool cwsd_endpoints_open(struct cws_loop *loop, const cwsd_pb_spec *spec,
                         struct cwsd_box *const *box, struct cwsd_endpoints **out_endpoints,
                         struct cwsd_fault *fault);

/* Ends all connections. NULL is allowed. */
void cwsd_endpoints_close(struct cwsd_endpoints *endpoints);

/* Shows the services, exposed or not, in a status. It points into the endpoints, which may be
 * NULL. */
void cwsd_endpoints_show(const struct cwsd_endpoints *endpoints, cwsd_pb_status *status);
