/* The fields of a room, for the boxes in it. */
#pragma once

#include <sys/types.h>

#include "box/room.h"
#include "host/egress_link.h"
#include "host/egress_names.h"
#include "host/netns.h"

struct cwsd_room {
    const struct cwsd_host *host;
    struct cwsd_netns netns;         /* not without isolation: the host's network is everybody's */
    struct cwsd_egress_link *link;   /* to other networks; NULL: none */
    struct cwsd_egress_names *names; /* NULL: the link is not complete yet, or there is none */
    struct cwsd_room_egress way;     /* what the link is for */
    uid_t user;                      /* 0: the daemon's user */
    unsigned boxes;
};
