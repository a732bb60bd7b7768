/*
 * What a sandbox may be asked to be: the rules for CreateSandbox's spec. Values in, verdict out.
 *
 * A wish this daemon does not fulfil is refused with its own reason; nothing is silently ignored.
 * What is accepted and has no effect here (image, resources, mode) is documented as such and
 * echoed.
 */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* Checks a spec for the runner `runner_id` and brings its maps into order (equal specs become
 * equal messages). False with *fault set: INVALID_ARGUMENT naming the field, or the refusal's
 * own code and reason. */
bool cwsd_spec_check(cwsd_pb_spec *spec, const char *runner_id, struct cwsd_fault *fault);

/* Of a checked spec: its one container, and that container's name ("main" if it has none). */
const cwsd_pb_container *cwsd_spec_container(const cwsd_pb_spec *spec);
const char *cwsd_spec_container_name(const cwsd_pb_spec *spec);

/* Its lifetime in seconds, the default filled in. */
int32_t cwsd_spec_lifetime_s(const cwsd_pb_spec *spec);
