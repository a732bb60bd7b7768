/* Resource quantities as Kubernetes writes them. */
#pragma once

#include "base/base.h"

/* True for a decimal number, with an optional fraction and one of the usual suffixes: "500m", "2",
 * "1.5Gi", "1e3". */
bool cwsd_quantity_is_valid(const char *text);
