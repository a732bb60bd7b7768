/* Which files the process reaches once it sees a stranger's bytes. */
#pragma once

#include "base/base.h"

/* Leaves this thread, and those that it starts, the files that looking up names takes, and these to
 * be read only. Where the kernel has no Landlock, all stays as it is. Needs no_new_privs. */
void cwse_files_close(void);
