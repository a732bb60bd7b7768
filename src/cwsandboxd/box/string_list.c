#include "box/string_list.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

void cwsd_string_list_done(struct cwsd_string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cws_free(list->items[i]);
    cws_free(list->items);
    list->items = NULL;
    list->count = 0;
}

enum cws_status cwsd_string_list_reserve(struct cwsd_string_list *list, size_t count)
{
    list->items = cws_calloc(count + 1, sizeof(*list->items)); /* zeroed: always terminated */
    return list->items ? CWS_OK : CWS_NO_MEMORY;
}

enum cws_status cwsd_string_list_add(struct cwsd_string_list *list, const char *text)
{
    char *copy = cws_strdup(text);
    if (!copy)
        return CWS_NO_MEMORY;
    list->items[list->count++] = copy;
    return CWS_OK;
}

enum cws_status cwsd_string_list_add_pair(struct cwsd_string_list *list, const char *name,
                                          const char *value)
{
    size_t size = strlen(name) + strlen(value) + sizeof("=");
    char *pair = cws_malloc(size);
    if (!pair)
        return CWS_NO_MEMORY;
    snprintf(pair, size, "%s=%s", name, value);
    list->items[list->count++] = pair;
    return CWS_OK;
}
