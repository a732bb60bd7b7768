#include "sandbox/extensions.h"

#include <string.h>

static const struct {
    const char *name;
    enum cws_extension bit;
} table[] = {
    {"cwd", CWS_EXTENSION_CWD},
    {"execs", CWS_EXTENSION_EXECS},
    {"file_modes", CWS_EXTENSION_FILE_MODES},
};

static unsigned find(const char *name, size_t len)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(table); i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return table[i].bit;
    return 0;
}

unsigned cws_extensions_parse(const char *value, size_t len)
{
    static const char separators[] = ", \t";
    unsigned found = 0;
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && !strchr(separators, value[end]))
            end++;
        found |= find(value + at, end - at);
        at = end + 1;
    }
    return found;
}
