#include "box/environment.h"

#include <string.h>

#include "base/alloc.h"

struct variable {
    char *text;
    size_t name_len;
    size_t at; /* place in the two lists */
};

static int compare_names(const struct variable *a, const struct variable *b)
{
    size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
    int order = memcmp(a->text, b->text, len);
    if (order == 0 && a->name_len != b->name_len)
        order = a->name_len < b->name_len ? -1 : 1;
    return order;
}

static int compare(const void *left, const void *right)
{
    const struct variable *a = left, *b = right;
    int order = compare_names(a, b);
    return order ? order : a->at < b->at ? -1 : 1;
}

static void collect(struct variable *variables, size_t at, const struct cwsd_string_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        char *text = list->items[i];
        variables[at + i] = (struct variable){text, strcspn(text, "="), at + i};
    }
}

enum cws_status cwsd_environment_merge(const struct cwsd_string_list *base,
                                       const struct cwsd_string_list *extra, char ***out_items,
                                       size_t *out_count)
{
    size_t count = base->count + extra->count;
    size_t kept = 0;
    struct variable *variables = cws_calloc(count + 1, sizeof(*variables));
    char **items = cws_calloc(count + 1, sizeof(*items));
    if (!variables || !items) {
        cws_free(variables);
        cws_free(items);
        return CWS_NO_MEMORY;
    }
    collect(variables, 0, base);
    collect(variables, base->count, extra);
    /* Sorted, not compared each with each: a client may send as many as fit a request. */
    qsort(variables, count, sizeof(*variables), compare);
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || compare_names(&variables[i], &variables[i + 1]) != 0)
            items[kept++] = variables[i].text;
    cws_free(variables);
    *out_items = items;
    *out_count = kept;
    return CWS_OK;
}
