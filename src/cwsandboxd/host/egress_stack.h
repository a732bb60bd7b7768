/*
 * The user-mode network stack of one sandbox: slirp4netns. It makes the sandbox's device, and opens
 * on the host, as the daemon's user, the connections that the sandbox asks it for. It runs in the
 * host's network and ends with the daemon. Loop thread only.
 */
#pragma once

#include "host/child.h"

struct cwsd_egress_stack_options {
    struct cws_loop *loop;
    const char *init_path;                 /* cwsandbox-init */
    const char *program;                   /* slirp4netns */
    int user_namespace, network_namespace; /* of the sandbox's network; stay the caller's */
    /* The device is there, with an address and a route. */
    void (*on_ready)(void *ctx);
    /* It has ended by itself, and nothing leads out (any more). `why` is what it has said, or
     * else how it has ended. */
    void (*on_end)(void *ctx, const char *why);
    void *ctx;
};

struct cwsd_egress_stack;

/* The events come later, never from inside. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_egress_stack_start(const struct cwsd_egress_stack_options *options,
                                        struct cwsd_egress_stack **out_stack,
                                        struct cws_error *err) CWS_MUST_CHECK;
/* Ends it, and frees it when that is done; no event comes any more. NULL is allowed. */
void cwsd_egress_stack_stop(struct cwsd_egress_stack *stack);
