/*
 * What leads from a sandbox's network to others. The launcher of its first container makes the
 * network and sends it here (CWSI_EGRESS in cwsandbox-init/protocol.h). Then the rules are loaded
 * in it, it gets a device, and only then the launcher goes on. Loop thread only.
 */
#pragma once

#include "host/egress.h"
#include "io/loop.h"

struct cwsd_egress_link;

/* Sockets that were made inside the sandbox's network, before anything runs there. Each is
 * non-inheritable, and its owner closes it. -1: taken already. */
struct cwsd_egress_sockets {
    int diverted; /* TCP, listening at 127.0.0.53:443: connections that the rules divert there */
    int names;    /* UDP, bound to 127.0.0.53:53, the name server of the sandbox's resolv.conf */
};

struct cwsd_egress_link_options {
    struct cws_loop *loop;
    struct cwsd_egress *egress; /* must outlive the link */
    const char *rules;          /* for nft, to be loaded inside the network; copied */
    /* The network is there, with its rules and without a device: nothing in the sandbox runs yet.
     * May take the sockets, and then leaves -1; those that are left are closed. CWS_OK, or *err
     * says why the sandbox cannot start. NULL: nobody wants them. */
    enum cws_status (*on_sockets)(void *ctx, struct cwsd_egress_sockets *sockets,
                                  struct cws_error *err);
    /* What led to other networks has ended, and nothing does any more: `why`. Once at most. */
    void (*on_lost)(void *ctx, const char *why);
    void *ctx;
};

/* CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_egress_link_new(const struct cwsd_egress_link_options *options,
                                     struct cwsd_egress_link **out_link,
                                     struct cws_error *err) CWS_MUST_CHECK;
/* Ends what runs for it. The devices go with the network. NULL is allowed. */
void cwsd_egress_link_free(struct cwsd_egress_link *link);

/* What the launcher gets as CWSI_EGRESS. */
int cwsd_egress_link_end(const struct cwsd_egress_link *link);
/* It has been started, and has a copy. */
void cwsd_egress_link_started(struct cwsd_egress_link *link);
