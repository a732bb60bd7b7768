#include "names.h"

#include <string.h>

#define MAX_LABEL 63

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The last label of a host name is never a number: "10.0.0.1" is an address. */
static bool ends_in_number(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = dot ? dot + 1 : name;
    return last[strspn(last, "0123456789")] == '\0';
}

bool cwse_name_read(const char *text, size_t len, char out_name[CWSE_NAME_SIZE])
{
    size_t label = 0;
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len >= CWSE_NAME_SIZE)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + ('a' - 'A')) : text[i];
        if (c == '.' ? label == 0 : (!is_letter(c) && !is_digit(c)) || label == MAX_LABEL)
            return false;
        label = c == '.' ? 0 : label + 1;
        out_name[i] = c;
    }
    out_name[len] = '\0';
    return label > 0 && !ends_in_number(out_name);
}

static bool grants(const char *grant, const char *name)
{
    if (strncmp(grant, "*.", 2) != 0)
        return strcmp(grant, name) == 0;
    const char *suffix = grant + 1;
    size_t suffix_len = strlen(suffix), name_len = strlen(name);
    return name_len > suffix_len && strcmp(name + name_len - suffix_len, suffix) == 0;
}

bool cwse_grants_have(const struct cwse_grants *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (grants(all->names[i], name))
            return true;
    return false;
}
