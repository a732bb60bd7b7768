/* A snapshot as clients see it. Loop thread only. */
#pragma once

#include "store/snapshots.h"
#include "values/pb.h"

/* Points into the snapshot and into itself. */
struct cwsd_snapshot_view {
    cwsd_pb_snapshot message;
    cwsd_pb_timestamp created, completed, updated;
};

void cwsd_snapshot_view_init(struct cwsd_snapshot_view *view, const struct cwsd_snapshot *snapshot);
