/* The rules for a sandbox's services. Values only; any thread. */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* False with *fault set: INVALID_ARGUMENT for ports, names and combinations that are none;
 * UNIMPLEMENTED with the reason for what this daemon does not offer. */
bool cwsd_spec_check_services(const cwsd_pb_spec *spec, struct cwsd_fault *fault);

/* For a checked service: whether it has an address outside the sandbox. */
bool cwsd_spec_is_exposed(const Coreweave__Sandbox__V1__Service *service);
/* For a checked service: whether it has an HTTPS endpoint, and one that needs the share token. */
bool cwsd_spec_has_https(const Coreweave__Sandbox__V1__Service *service);
bool cwsd_spec_needs_share_token(const Coreweave__Sandbox__V1__Service *service);
