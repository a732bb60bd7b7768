#include "base/shortcut.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static const char *const names[CWS_SHORTCUT_COUNT] = {
    [CWS_SHORTCUT_GUEST] = "guest",
    [CWS_SHORTCUT_TEXT] = "text",
    [CWS_SHORTCUT_PAGES] = "pages",
};

static unsigned off; /* written once, before it is read */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool is_name(const char *word, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(word, name, len) == 0;
}

static unsigned parse_word(const char *word, size_t len)
{
    if (is_name(word, len, "all"))
        return (1u << CWS_SHORTCUT_COUNT) - 1;
    for (unsigned i = 0; i < CWS_ARRAY_LEN(names); i++)
        if (is_name(word, len, names[i]))
            return 1u << i;
    return 0;
}

unsigned cws_shortcut_parse(const char *value)
{
    unsigned found = 0;
    while (value && *value) {
        size_t len = strcspn(value, ",");
        found |= parse_word(value, len);
        value += len + (value[len] == ',');
    }
    return found;
}

static void read_variable(void)
{
    off = cws_shortcut_parse(getenv("CWSANDBOX_NO_SHORTCUTS"));
}

bool cws_shortcut_is_on(enum cws_shortcut which)
{
    pthread_once(&once, read_variable);
    return (off & 1u << which) == 0;
}
