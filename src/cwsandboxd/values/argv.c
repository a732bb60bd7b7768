#include "values/argv.h"

#include <stdio.h>
#include <string.h>

#include "values/bounds.h"
#include "values/text.h"

static bool set_too_large(struct cwsd_fault *fault, const char *field, size_t total)
{
    return cwsd_fault_set_invalid(
        fault, field, "has %zu bytes in all, with %zu for each word; at most %zu are allowed",
        total, CWSD_ARG_POINTER_BYTES, CWSD_MAX_EXEC_BYTES);
}

bool cwsd_argv_check(const char *field, const char *program, char *const *args, size_t arg_count,
                     struct cwsd_fault *fault)
{
    size_t total = 0;
    if (program[0] == '\0')
        return cwsd_fault_set_invalid(fault, field, "must name a program to run");
    for (size_t i = 0; i <= arg_count; i++) {
        size_t len = strlen(i == 0 ? program : args[i - 1]);
        if (len > CWSD_MAX_ARG_BYTES)
            return cwsd_fault_set_invalid(
                fault, field, "argument %zu has %zu bytes; the kernel takes at most %zu", i, len,
                CWSD_MAX_ARG_BYTES);
        total += len + 1 + CWSD_ARG_POINTER_BYTES;
    }
    if (total > CWSD_MAX_EXEC_BYTES)
        return set_too_large(fault, field, total);
    return true;
}

bool cwsd_argv_check_environment(const char *field, struct cwsd_pairs *environment,
                                 struct cwsd_fault *fault)
{
    size_t total = 0;
    const char *twice = cwsd_pairs_sort(environment);
    if (twice)
        return cwsd_fault_set_invalid(fault, field, "%s is given twice",
                                      cwsd_text_short(twice).text);
    for (size_t i = 0; i < environment->count; i++) {
        const char *name = cwsd_pairs_key(environment, i);
        size_t len = strlen(name) + 1 + strlen(cwsd_pairs_value(environment, i));
        if (name[0] == '\0')
            return cwsd_fault_set_invalid(fault, field, "a variable's name must not be empty");
        if (strchr(name, '='))
            return cwsd_fault_set_invalid(fault, field,
                                          "the variable's name \"%s\" must not contain '='",
                                          cwsd_text_short(name).text);
        if (len > CWSD_MAX_ARG_BYTES)
            return cwsd_fault_set_invalid(
                fault, field,
                "variable %s has %zu bytes with its name; the kernel takes at most %zu",
                cwsd_text_short(name).text, len, CWSD_MAX_ARG_BYTES);
        total += len + 1 + CWSD_ARG_POINTER_BYTES;
    }
    if (total > CWSD_MAX_EXEC_BYTES)
        return set_too_large(fault, field, total);
    return true;
}
