/*
 * Lays a partial spec over another: each field that the upper one has replaces the lower one's
 * whole. A list or map that is not empty, a message that is there, a number that is not zero: that
 * is what a field "has" means on the wire, and so this is done there. The messages of partial and
 * whole specs have the same field numbers. Any thread.
 */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* The whole spec; NULL with *fault set: out of memory, or the result is no spec. `upper` NULL: no
 * fields. To be freed with cwsd_wire_free. */
cwsd_pb_spec *cwsd_overlay_spec(const cwsd_pb_partial_spec *lower,
                                const cwsd_pb_partial_spec *upper, struct cwsd_fault *fault);
