/* Paths inside a sandbox, as clients give them. */
#pragma once

#include <stdbool.h>

/* NULL if `path` is absolute, not too long, and without ".." parts. Otherwise what is wrong, as a
 * static text to follow the path in a message ("must be absolute"). */
const char *cwsd_path_fault(const char *path);

/* As strcmp, part by part: "/a//b/." equals "/a/b", and a folder comes before what is in it. */
int cwsd_path_compare(const char *a, const char *b);

/* Whether `path` is the folder, or something in it. Links are not followed. */
bool cwsd_path_is_in(const char *path, const char *folder);
