#include "values/path.h"

#include <string.h>

#include "values/bounds.h"

const char *cwsd_path_fault(const char *path)
{
    if (path[0] != '/')
        return "must be absolute";
    if (strlen(path) > CWSD_MAX_PATH_BYTES)
        return "is too long";
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += strspn(part, "/");
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0'))
            return "must not contain \"..\"";
    }
    return NULL;
}
