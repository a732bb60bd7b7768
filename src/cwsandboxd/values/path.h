/* Paths inside a sandbox, as clients give them. */
#pragma once

/* NULL if `path` is absolute, not too long, and without ".." parts. Otherwise what is wrong, as a
 * static text to follow the path in a message ("must be absolute"). */
const char *cwsd_path_fault(const char *path);
