/* Host names, and which of them a sandbox may reach. Values only. */
#pragma once

#include "base/base.h"

/* The longest host name, and its end. */
#define CWSE_NAME_SIZE 254

/* The names that were granted: host names in lower case, or "*." and one. */
struct cwse_grants {
    char *const *names;
    size_t count;
};

/* Writes the host name of `len` bytes in lower case and without a dot at its end. False: it is not
 * one. It is made of labels of at most 63 letters, digits, '-' and '_', and is no IP address. */
bool cwse_name_read(const char *text, size_t len, char out_name[CWSE_NAME_SIZE]);

/* Whether a name as cwse_name_read writes it was granted. "*.x" stands for all names that end in
 * ".x", however many labels they have in front, but not for "x". */
bool cwse_grants_have(const struct cwse_grants *grants, const char *name);
