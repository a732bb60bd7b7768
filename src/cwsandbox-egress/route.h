/* How the kernel would send to an address. */
#pragma once

#include <sys/socket.h>

#include "base/base.h"

/* Whether this machine takes for itself what is sent to an address of IPv4 or IPv6, be it one of a
 * device's, of a range that is all its own, or for all on a link. True also if that cannot be
 * known. Any thread. */
bool cwse_route_is_local(const struct sockaddr *address);
