/* The rules for the secrets of a container. Values only; any thread. */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* Whether `name` can name a secret store: 1 to 128 letters, digits, '.', '_' and '-', not beginning
 * with '.'. So it is a file's name, too. */
bool cwsd_secret_store_name_is_valid(const char *name);

/* The variable that a mapping asks for. */
const char *cwsd_secret_variable(const Coreweave__Sandbox__V1__SecretMapping *mapping);

/* Checks names, and that no two secrets ask for the same variable. False with *fault
 * INVALID_ARGUMENT. Whether the secrets exist is not checked. */
bool cwsd_spec_check_secrets(const cwsd_pb_container *container, const char *field,
                             struct cwsd_fault *fault);

/* How many secrets the container asks for. */
size_t cwsd_spec_count_secrets(const cwsd_pb_container *container);
