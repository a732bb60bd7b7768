/* deploy.resources: what a service needs and may use at most. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "values/compose_private.h"
#include "values/quantity.h"
#include "values/text.h"

/* Compose's units of bytes, all of them powers of 1024: "b", "k", "kb", "m", "mb", "g", "gb". */
static bool to_quantity(char *text)
{
    size_t len = strlen(text);
    if (len && tolower((unsigned char)text[len - 1]) == 'b')
        text[--len] = '\0';
    char unit = len ? (char)toupper((unsigned char)text[len - 1]) : '\0';
    if (isdigit((unsigned char)unit))
        return cwsd_quantity_is_valid(text);
    if (!unit || !strchr("KMG", unit))
        return false;
    text[len - 1] = unit; /* there is room for the 'i' */
    text[len] = 'i';
    text[len + 1] = '\0';
    return cwsd_quantity_is_valid(text);
}

static char *read_memory(const struct cwsd_compose_at *at, const struct cwsd_yaml *node)
{
    char *text = cwsd_compose_text(at, node);
    size_t size = text ? strlen(text) + 1 : 0;
    char *quantity = text ? cws_malloc(size + 1) : NULL;
    if (text && !quantity)
        cwsd_fault_set_memory(at->fault);
    if (quantity)
        memcpy(quantity, text, size);
    if (quantity && !to_quantity(quantity)) {
        cwsd_compose_refuse(at, node->line, "\"%s\" is no amount of memory such as \"512M\"",
                            cwsd_text_short(text).text);
        cws_free(quantity);
        quantity = NULL;
    }
    cws_free(text);
    return quantity;
}

static char *read_cpus(const struct cwsd_compose_at *at, const struct cwsd_yaml *node)
{
    char *text = cwsd_compose_text(at, node);
    if (!text ||
        (text[0] && strspn(text, "0123456789.") == strlen(text) && cwsd_quantity_is_valid(text)))
        return text;
    cwsd_compose_refuse(at, node->line, "\"%s\" is no number of processors such as \"0.5\"",
                        cwsd_text_short(text).text);
    cws_free(text);
    return NULL;
}

static bool fill(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                 cwsd_pb_resources *resources)
{
    if (node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "must be a map");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        bool cpus = strcmp(item->key, "cpus") == 0;
        if (!cpus && strcmp(item->key, "memory") != 0)
            return cwsd_compose_refuse_here(at, item->key_line, cwsd_text_short(item->key).text);
        char *text = cpus ? read_cpus(at, item->value) : read_memory(at, item->value);
        if (!text)
            return false;
        *(cpus ? &resources->cpu : &resources->memory) = text;
    }
    return true;
}

static bool add_resources(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                          cwsd_pb_resources **out_resources)
{
    cwsd_pb_resources *resources = cws_malloc(sizeof(*resources));
    if (!resources)
        return cwsd_fault_set_memory(at->fault);
    coreweave__sandbox__v1__resources__init(resources);
    *out_resources = resources;
    return fill(at, node, resources);
}

static bool fill_requirements(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                              cwsd_pb_requirements *requirements)
{
    if (node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "resources must be a map");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        bool limits = strcmp(item->key, "limits") == 0;
        if (!limits && strcmp(item->key, "reservations") != 0)
            return cwsd_compose_refuse(at, item->key_line, "resources have no \"%s\"",
                                       cwsd_text_short(item->key).text);
        if (!add_resources(at, item->value,
                           limits ? &requirements->limits : &requirements->requests))
            return false;
    }
    return true;
}

bool cwsd_compose_deploy(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                         cwsd_pb_container *container)
{
    if (node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "must be a map");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        if (strcmp(item->key, "resources") != 0)
            return cwsd_compose_refuse_here(at, item->key_line, cwsd_text_short(item->key).text);
        cwsd_pb_requirements *requirements = cws_malloc(sizeof(*requirements));
        if (!requirements)
            return cwsd_fault_set_memory(at->fault);
        coreweave__sandbox__v1__resource_requirements__init(requirements);
        container->resource_requirements = requirements;
        if (!fill_requirements(at, item->value, requirements))
            return false;
    }
    return true;
}
