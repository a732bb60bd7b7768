/* Addresses that a name may lead a sandbox to. */
#pragma once

#include <sys/socket.h>

#include "base/base.h"

/* Whether it is an address of the internet at large: not of this machine, a link, a private
 * network or a group, nor one of IPv6 that stands for such an address of IPv4. Other families: no.
 * Any thread. */
bool cwse_address_is_public(const struct sockaddr *address);

/* Whether it is this machine's, or the address of IPv4 that it stands for is (see
 * cwse_route_is_local). Any thread. */
bool cwse_address_is_own(const struct sockaddr *address);
