/* The rules for a command line and an environment, whoever asks. `field` is how messages name
 * them. */
#pragma once

#include "values/fault.h"
#include "values/pairs.h"

/* The program's name is not empty, each part and the whole are within the kernel's limits. */
bool cwsd_argv_check(const char *field, const char *program, char *const *args, size_t arg_count,
                     struct cwsd_fault *fault);

/* Names not empty, without '=', each once; sizes within the kernel's limits. Sorts it by name. */
bool cwsd_argv_check_environment(const char *field, struct cwsd_pairs *environment,
                                 struct cwsd_fault *fault);
