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

/* For so many boxes. What lies in it must be freed before it. CWS_NO_MEMORY,
 * CWS_SYSTEM. */
enum cws_status cwsd_room_new(const struct cwsd_host *host, unsigned boxes,
                              struct cwsd_room **out_room, struct cws_error *err) CWS_MUST_CHECK;
/* Leads its network to others, as these options allow. Before
 * the first box. `egress` and `network` must outlive the room. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_room_open(struct cwsd_room *room, struct cws_loop *loop,
                               struct cwsd_egress *egress, const cwsd_pb_network *network,
                               struct cws_error *err) CWS_MUST_CHECK;
/* NULL is allowed. */
void cwsd_room_free(struct cwsd_room *room);
