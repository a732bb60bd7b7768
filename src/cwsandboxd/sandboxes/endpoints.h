/*
 * The addresses outside at which a sandbox's services are reached: for each exposed service a port
 * of its own on the host's loopback device. They are there from the create request on, so that the
 * answer can name them, and end with the sandbox. Loop thread only.
 */
#pragma once

#include "box/box.h"
#include "values/fault.h"
#include "values/pb.h"

/* All addresses are on it. */
#define CWSD_ENDPOINT_HOST "127.0.0.1"

struct cwsd_endpoints;
struct cws_tls_config;

struct cwsd_endpoints_options {
    struct cws_loop *loop;
    const cwsd_pb_spec *spec;    /* checked; must outlive the endpoints */
    struct cwsd_box *const *box; /* the sandbox's box while it runs, else NULL; likewise */
    struct cws_tls_config *tls;  /* of HTTPS endpoints; counted */
};

/* *out_endpoints is NULL if the sandbox has no services. False with *fault set: UNAVAILABLE if a
 * port cannot be had. */
bool cwsd_endpoints_open(const struct cwsd_endpoints_options *options,
                         struct cwsd_endpoints **out_endpoints, struct cwsd_fault *fault);

/* Ends all connections. NULL is allowed. */
void cwsd_endpoints_close(struct cwsd_endpoints *endpoints);

/* Shows the services, exposed or not, in a status. It points into the endpoints, which may be
 * NULL. */
void cwsd_endpoints_show(const struct cwsd_endpoints *endpoints, cwsd_pb_status *status);

/* The share token, which only the answer to the create request names; NULL if no endpoint needs
 * one. */
const char *cwsd_endpoints_token(const struct cwsd_endpoints *endpoints);
