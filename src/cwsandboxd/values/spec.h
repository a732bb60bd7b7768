/*
 * The rules for CreateSandbox's spec. Values only; any thread.
 *
 * What this daemon does not support is refused with a reason of its own; nothing is silently
 * ignored. Options that are accepted without effect here (image, resources, mode) are documented as
 * such and echoed.
 */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* Checks a spec for the runner `runner_id`, and sorts its maps, so that equal specs become equal
 * messages. False with *fault set: INVALID_ARGUMENT with the field, or the code and reason of a
 * refusal. */
bool cwsd_spec_check(cwsd_pb_spec *spec, const char *runner_id, struct cwsd_fault *fault);

/* For a checked spec: its lifetime in seconds, or the default. */
int32_t cwsd_spec_lifetime_s(const cwsd_pb_spec *spec);
