/* Files and directories that hold secrets: only the daemon's user may be able to get at them. */
#pragma once

#include <sys/stat.h>

#include "base/status.h"

/* Whether it is the daemon's user's, and closed to everybody else. */
bool cwsd_private(const struct stat *info);

/* The same of what `fd` is of (O_PATH will do), which must be of the kind, S_IFREG or S_IFDIR.
 * CWS_INVALID: it is not, and the error says what `path` must be. CWS_SYSTEM: it cannot be looked
 * at. */
enum cws_status cwsd_private_check(int fd, mode_t kind, const char *path,
                                   struct cws_error *err) CWS_MUST_CHECK;

/* Opens a directory that is the daemon's alone, and makes it if it is missing. The caller closes
 * *out_fd. CWS_INVALID: it is not. CWS_SYSTEM: also if it is a link. */
enum cws_status cwsd_private_open(const char *path, int *out_fd,
                                  struct cws_error *err) CWS_MUST_CHECK;
