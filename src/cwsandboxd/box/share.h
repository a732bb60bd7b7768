/*
 * What the kernel counts for each user, however many sandboxes that user has: one of them must not
 * use it up for the others, nor for the user's programs on the host.
 */
#pragma once

#include "box/script.h"

/* Steps that give a sandbox its share. For sandboxes that are not users of their own. */
void cwsd_share_add(struct cwsd_script *script);
