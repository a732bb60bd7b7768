/*
 * The rules for the containers of a spec as a whole: how many, their names, which one is the
 * primary one. Values only; any thread.
 */
#pragma once

#include "base/status.h"
#include "values/fault.h"
#include "values/pb.h"

/* Checks the list of containers, not what is in each. False with *fault set. */
bool cwsd_spec_check_containers(const cwsd_pb_spec *spec, struct cwsd_fault *fault);

/* What is known about "spec.containers[0]" is in fact about container `at`: changes the fault's
 * text and field. Always returns false. */
bool cwsd_spec_blame_container(struct cwsd_fault *fault, size_t at);

/* For a checked spec: gives an only container the name and the flag that go without saying.
 * CWS_NO_MEMORY. */
enum cws_status cwsd_spec_complete(cwsd_pb_spec *spec) CWS_MUST_CHECK;

/* For a checked spec: the index of the primary container. */
size_t cwsd_spec_primary(const cwsd_pb_spec *spec);
