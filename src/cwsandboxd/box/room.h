/*
 * What the boxes of one sandbox have in common: one network namespace with its loopback device, one
 * user of the host, and one set of limits, of which each has an equal part. Each has its own root,
 * processes, users and ipc. Loop thread only.
 */
#pragma once

#include "box/host.h"
#include "host/egress.h"
#include "io/loop.h"
#include "values/pb.h"

struct cwsd_room;

/* What `egress` and `network` point to must outlive the room. */
struct cwsd_room_egress {
    struct cws_loop *loop;
    struct cwsd_egress *egress;
    const cwsd_pb_network *network;
    /* Nothing leads to other networks any more, though the boxes go on: `why`. Once at most. */
    void (*on_lost)(void *ctx, const char *why);
    void *ctx;
};

/* For so many boxes. What lies in it must be freed before it. CWS_NO_MEMORY,
 * CWS_SYSTEM. */
enum cws_status cwsd_room_new(const struct cwsd_host *host, unsigned boxes,
                              struct cwsd_room **out_room, struct cws_error *err) CWS_MUST_CHECK;
/* Leads its network to others, as these options allow. Before the first box. CWS_SYSTEM,
 * CWS_NO_MEMORY. */
enum cws_status cwsd_room_open(struct cwsd_room *room, const struct cwsd_room_egress *way,
                               struct cws_error *err) CWS_MUST_CHECK;
/* NULL is allowed. */
void cwsd_room_free(struct cwsd_room *room);
