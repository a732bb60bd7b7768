/* Small files that the daemon makes once and relies on ever after. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Makes the file `name`, a path relative to the directory `dir` (AT_FDCWD will do), with this mode
 * and content. It is whole or not there, whatever happens meanwhile: a full disk, a kill, a loss of
 * power. When this returns 0 it is on the disk. Otherwise returns an errno, and the file is not
 * there, unless only its name could not be brought to the disk. EEXIST: there is one already, and
 * it stays as it is. */
int cwsd_whole_file_make(int dir, const char *name, mode_t mode, const void *data, size_t len);
