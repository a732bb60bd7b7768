#include <string.h>

#include "base/alloc.h"
#include "values/compose_private.h"
#include "values/text.h"

typedef Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry entry_t;

/* Takes key and value over, whatever comes. */
static bool add(const struct cwsd_compose_at *at, cwsd_pb_container *container, char *key,
                char *value)
{
    entry_t *entry = key && value ? cws_malloc(sizeof(*entry)) : NULL;
    if (!entry) {
        cws_free(key);
        cws_free(value);
        return cwsd_fault_set_memory(at->fault);
    }
    coreweave__sandbox__v1__container__environment_variables_entry__init(entry);
    entry->key = key;
    entry->value = value;
    container->environment_variables[container->n_environment_variables++] = entry;
    return true;
}

static bool refuse_unset(const struct cwsd_compose_at *at, unsigned line, const char *name)
{
    return cwsd_compose_refuse(at, line,
                               "%s has no value, and nobody's environment to take it from",
                               cwsd_text_short(name).text);
}

static bool add_mapped(const struct cwsd_compose_at *at, const struct cwsd_yaml_item *item,
                       cwsd_pb_container *container)
{
    if (item->value->kind == CWSD_YAML_NULL)
        return refuse_unset(at, item->key_line, item->key);
    char *value = cwsd_compose_text(at, item->value);
    return value && add(at, container, cws_strdup(item->key), value);
}

/* "NAME=value" */
static bool add_listed(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                       cwsd_pb_container *container)
{
    char *pair = cwsd_compose_text(at, node);
    if (!pair)
        return false;
    char *equals = strchr(pair, '=');
    if (!equals) {
        refuse_unset(at, node->line, pair);
        cws_free(pair);
        return false;
    }
    *equals = '\0';
    return add(at, container, pair, cws_strdup(equals + 1));
}

bool cwsd_compose_environment(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                              cwsd_pb_container *container)
{
    if (node->kind == CWSD_YAML_NULL)
        return true;
    if (node->kind == CWSD_YAML_TEXT)
        return cwsd_compose_refuse(at, node->line, "must be a map, or a list of NAME=value");
    entry_t **entries = cws_calloc(node->count + 1, sizeof(*entries));
    if (!entries)
        return cwsd_fault_set_memory(at->fault);
    container->environment_variables = entries;
    for (size_t i = 0; i < node->count; i++)
        if (node->kind == CWSD_YAML_MAP ? !add_mapped(at, &node->items[i], container)
                                        : !add_listed(at, node->items[i].value, container))
            return false;
    return true;
}
