/* What the process gives up before it sees a stranger's bytes. */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/* Becomes the user (0: stays who it is), and gives up all rights over files, new programs and more
 * memory. False: errno says why. */
bool cwse_confine(uid_t user);
