/* The fields of a room, for the boxes in it. */
#pragma once

#include <sys/types.h>

#include "box/room.h"
#include "host/netns.h"

struct cwsd_room {
    const struct cwsd_host *host;
    struct cwsd_netns netns; /* not without isolation: the host's network is everybody's */
    uid_t user;              /* 0: the daemon's user */
    unsigned boxes;
};
