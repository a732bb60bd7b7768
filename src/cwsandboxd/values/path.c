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

/* The next part and its length, 0 at the end. Empty parts and "." are no parts. */
static const char *next_part(const char **at, size_t *out_len)
{
    const char *part;
    do {
        part = *at + strspn(*at, "/");
        *out_len = strcspn(part, "/");
        *at = part + *out_len;
    } while (*out_len == 1 && part[0] == '.');
    return part;
}

/* As strcmp. *out_inside: `a` is at or below `b`. */
static int compare(const char *a, const char *b, bool *out_inside)
{
    for (;;) {
        size_t a_len, b_len;
        const char *a_part = next_part(&a, &a_len);
        const char *b_part = next_part(&b, &b_len);
        *out_inside = b_len == 0;
        if (a_len == 0 || b_len == 0)
            return (a_len > b_len) - (a_len < b_len);
        int order = strncmp(a_part, b_part, a_len < b_len ? a_len : b_len);
        if (order == 0)
            order = (a_len > b_len) - (a_len < b_len);
        if (order != 0)
            return order;
    }
}

int cwsd_path_compare(const char *a, const char *b)
{
    bool inside;
    return compare(a, b, &inside);
}

bool cwsd_path_is_in(const char *path, const char *folder)
{
    bool inside;
    compare(path, folder, &inside);
    return inside;
}
