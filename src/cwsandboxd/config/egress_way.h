/* How sandboxes' networks lead to others. */
#pragma once

enum cwsd_egress_way {
    CWSD_EGRESS_OFF,
    CWSD_EGRESS_AUTO,        /* NFTABLES for root, else SLIRP4NETNS */
    CWSD_EGRESS_NFTABLES,    /* a pair of virtual devices, and the host as the router */
    CWSD_EGRESS_SLIRP4NETNS, /* a program of the daemon's user with connections of its own */
};
