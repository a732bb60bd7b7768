/* Resource quantities as Kubernetes writes them. */
#pragma once

#include "base/base.h"

/* True for a decimal number, with an optional fraction and one of the usual suffixes: "500m", "2",
 * "1.5Gi", "1e3". */
bool cwsd_quantity_is_valid(const char *text);

/* The quantity as a number of bytes, rounded up. False: it is not valid, or too large for any
 * file. */
bool cwsd_quantity_to_bytes(const char *text, uint64_t *out_bytes);
