/*
 * The rules of a sandbox's network in the language of nft: what may leave it. Pure text from
 * checked values. They hold inside the network namespace, over which the sandbox has no rights.
 */
#pragma once

#include <netinet/in.h>

#include "base/status.h"
#include "values/pb.h"

struct cwsd_egress_range {
    struct in_addr first;
    unsigned bits; /* of the prefix */
};

/* Addresses of this host: no rule leads there. They may overlap. */
struct cwsd_egress_own {
    const struct cwsd_egress_range *ranges;
    size_t count;
};

/* The ruleset for a network whose options cwsd_spec_check_network has checked, and that leads to
 * other networks (cwsd_spec_has_egress). Without rules it is any. To be freed with free(); NULL
 * when out of memory. */
char *cwsd_egress_rules(const cwsd_pb_network *network, const struct cwsd_egress_own *own);
/* The text that makes these the host's addresses in a ruleset that is loaded already. As above. */
char *cwsd_egress_own_change(const struct cwsd_egress_own *own);

/* The ruleset of the host for the devices cwsSLOT-*, whose addresses are in `range`
 * (10.192.0.0/16): sandboxes reach neither the host nor each other nor a link's addresses, send
 * from their own address alone, and are reached by nobody. As above. */
char *cwsd_egress_host_rules(unsigned slot, const char *range);
/* The text that removes it. As above. */
char *cwsd_egress_host_removal(unsigned slot);
