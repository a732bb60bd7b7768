/*
 * Resources that the kernel counts per user, however many sandboxes that user has. One sandbox must
 * not use them up for the others or for the user's programs on the host.
 */
#pragma once

#include "box/script.h"

/* Adds steps that give a sandbox its share, or a box of it one of `parts` of that. For sandboxes
 * that do not run as users of their own. */
void cwsd_share_add(struct cwsd_script *script, unsigned parts);
