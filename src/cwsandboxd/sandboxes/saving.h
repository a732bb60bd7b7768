/*
 * Snapshots of a sandbox's volumes, as requests ask for them: which volumes they mean, and whether
 * they can be had. Loop thread only.
 */
#pragma once

#include "sandboxes/archives.h"
#include "sandboxes/pool.h"

/* The snapshot that the request asks for: a new one, or the one that an equal request has made.
 * False with *fault set. */
bool cwsd_saving_create(struct cwsd_pool *pool, const cwsd_pb_create_snapshot_request *request,
                        struct cwsd_snapshot *out, struct cwsd_fault *fault);

/* The snapshots that an equal delete has made before. False without a fault: none. `out` has room
 * for one per volume that the request names. */
bool cwsd_saving_find_repeated(struct cwsd_pool *pool, const cwsd_pb_delete_request *request,
                               struct cwsd_snapshot *out, struct cwsd_fault *fault);

/* One snapshot for each volume that the request names, in its order, all or none. They are made
 * when the sandbox has ended, which the caller sees to. False with *fault set. */
bool cwsd_saving_on_delete(struct cwsd_sandbox *sandbox, const cwsd_pb_delete_request *request,
                           struct cwsd_snapshot *out, struct cwsd_fault *fault);
