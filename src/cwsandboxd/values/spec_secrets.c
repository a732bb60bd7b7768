#include "values/spec_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "values/text.h"

#define MAX_STORE_NAME 128

typedef Coreweave__Sandbox__V1__SecretMapping mapping_t;
typedef Coreweave__Sandbox__V1__SecretStoreReference reference_t;

bool cwsd_secret_store_name_is_valid(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= MAX_STORE_NAME && name[0] != '.' && strspn(name, allowed) == len;
}

const char *cwsd_secret_variable(const mapping_t *mapping)
{
    return mapping->env_var[0] ? mapping->env_var : mapping->path;
}

size_t cwsd_spec_count_secrets(const cwsd_pb_container *container)
{
    size_t count = 0;
    for (size_t i = 0; i < container->n_secret_stores; i++)
        count += container->secret_stores[i]->n_secrets;
    return count;
}

static bool check_mapping(const mapping_t *mapping, const char *field, struct cwsd_fault *fault)
{
    const char *variable = cwsd_secret_variable(mapping);
    if (mapping->path[0] == '\0')
        return cwsd_fault_set_invalid(fault, field, "a secret's path must not be empty");
    if (strlen(variable) > CWSD_MAX_NAME_BYTES || strchr(variable, '='))
        return cwsd_fault_set_invalid(
            fault, field, "\"%s\" is no name of a variable (at most %d bytes, without '=')",
            cwsd_text_short(variable).text, CWSD_MAX_NAME_BYTES);
    return true;
}

static int compare(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static bool check_unique(const char **variables, size_t count, const char *field,
                         struct cwsd_fault *fault)
{
    qsort(variables, count, sizeof(*variables), compare);
    for (size_t i = 1; i < count; i++)
        if (strcmp(variables[i - 1], variables[i]) == 0)
            return cwsd_fault_set_invalid(fault, field, "the variable \"%s\" is asked for twice",
                                          cwsd_text_short(variables[i]).text);
    return true;
}

static bool check_reference(const reference_t *reference, const char *field,
                            struct cwsd_fault *fault)
{
    if (!cwsd_secret_store_name_is_valid(reference->store_name))
        return cwsd_fault_set_invalid(fault, field,
                                      "\"%s\" is no store's name of at most %d letters, digits, "
                                      "'.', '_' and '-', the first one no '.'",
                                      cwsd_text_short(reference->store_name).text, MAX_STORE_NAME);
    for (size_t i = 0; i < reference->n_secrets; i++)
        if (!check_mapping(reference->secrets[i], field, fault))
            return false;
    return true;
}

bool cwsd_spec_check_secrets(const cwsd_pb_container *container, const char *field,
                             struct cwsd_fault *fault)
{
    size_t count = cwsd_spec_count_secrets(container), used = 0;
    if (count > CWSD_MAX_SECRETS || container->n_secret_stores > CWSD_MAX_SECRETS)
        return cwsd_fault_set_invalid(fault, field, "more than %d secrets", CWSD_MAX_SECRETS);
    for (size_t i = 0; i < container->n_secret_stores; i++)
        if (!check_reference(container->secret_stores[i], field, fault))
            return false;
    const char **variables = cws_calloc(count + 1, sizeof(*variables));
    if (!variables)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < container->n_secret_stores; i++)
        for (size_t j = 0; j < container->secret_stores[i]->n_secrets; j++)
            variables[used++] = cwsd_secret_variable(container->secret_stores[i]->secrets[j]);
    bool unique = check_unique(variables, used, field, fault);
    cws_free(variables);
    return unique;
}
