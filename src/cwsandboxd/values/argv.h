/* The rules for command lines and environments, for all methods. `field` is their name in messages.
 * Values only; any thread. */
#pragma once

#include "values/fault.h"
#include "values/pairs.h"

/* Checks that the program's name is not empty, and that each word and the whole are within the
 * kernel's limits. False with *fault INVALID_ARGUMENT. */
bool cwsd_argv_check(const char *field, const char *program, char *const *args, size_t arg_count,
                     struct cwsd_fault *fault);

/* Checks that names are unique, not empty and without '=', and that sizes are within the kernel's
 * limits. Sorts the environment by name. False with *fault INVALID_ARGUMENT. */
bool cwsd_argv_check_environment(const char *field, struct cwsd_pairs *environment,
                                 struct cwsd_fault *fault);
