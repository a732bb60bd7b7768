/* Paths inside a sandbox, as clients give them. */
#pragma once

/* NULL if `path` is absolute, of sensible length and free of ".." parts; else what is wrong, to
 * follow the path in a message ("must be absolute"). */
const char *cwsd_path_fault(const char *path);
