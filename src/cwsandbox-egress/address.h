/* Addresses that a name may lead a sandbox to. */
#pragma once

#include <sys/socket.h>

#include "base/base.h"

/* Whether it is an address of the internet at large: not of this machine, a link, a private
 * network or a group, nor one of IPv6 that stands for such an address of IPv4. Other families: no.
 * Any thread. */
bool cwse_address_is_public(const struct sockaddr *address);

/* Whether one of this machine's devices has it, or the address of IPv4 that it stands for. True
 * also if that cannot be known. Any thread. */
bool cwse_address_is_own(const struct sockaddr *address);
