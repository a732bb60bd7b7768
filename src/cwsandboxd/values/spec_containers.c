#include "values/spec_containers.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/text.h"

#define CONTAINERS "spec.containers"

#define PRIMARY_SET COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY

/* The service's own containers are called so. */
static const char *const reserved_names[] = {
    "cw-object-store-agent", "cw-object-store-agent-restore", "cws-engine", "dns-egress",
    "dns-egress-probe",
};
static const char reserved_prefix[] = "cw-object-store-agent-restore-";

/* A DNS label, as the service has it. */
static bool is_label(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) && name[i] != '-')
            return false;
    return len > 0 && len <= 63 && name[0] != '-' && name[len - 1] != '-';
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(reserved_names); i++)
        if (strcmp(name, reserved_names[i]) == 0)
            return true;
    return strncmp(name, reserved_prefix, sizeof(reserved_prefix) - 1) == 0;
}

static bool is_primary(const cwsd_pb_container *container)
{
    return container->_primary_case == PRIMARY_SET && container->primary;
}

static bool check_name(const cwsd_pb_spec *spec, size_t at, struct cwsd_fault *fault)
{
    const char *name = spec->containers[at]->name;
    char field[48];
    snprintf(field, sizeof(field), CONTAINERS "[%zu].name", at);
    if (!name[0] && spec->n_containers == 1)
        return true;
    if (!name[0])
        return cwsd_fault_set_invalid(fault, field,
                                      "must not be empty: each of several containers needs a name");
    if (!is_label(name))
        return cwsd_fault_set_invalid(
            fault, field,
            "\"%s\" is no name of at most 63 lower-case letters, digits and inner hyphens",
            cwsd_text_short(name).text);
    if (is_reserved(name))
        return cwsd_fault_set_invalid(fault, field, "\"%s\" is reserved", name);
    for (size_t i = 0; i < at; i++)
        if (strcmp(spec->containers[i]->name, name) == 0)
            return cwsd_fault_set_invalid(fault, field, "two containers are called \"%s\"", name);
    return true;
}

bool cwsd_spec_check_containers(const cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    size_t primaries = 0;
    if (spec->n_containers == 0 || spec->n_containers > CWSD_MAX_CONTAINERS)
        return cwsd_fault_set_invalid(fault, CONTAINERS, "%zu containers; 1 to %d are allowed",
                                      spec->n_containers, CWSD_MAX_CONTAINERS);
    for (size_t i = 0; i < spec->n_containers; i++) {
        if (!check_name(spec, i, fault))
            return false;
        primaries += is_primary(spec->containers[i]);
    }
    if (spec->n_containers > 1 && primaries != 1)
        return cwsd_fault_set_invalid(fault, CONTAINERS,
                                      "%zu are primary; of several containers, exactly one must be",
                                      primaries);
    return true;
}

bool cwsd_spec_blame_container(struct cwsd_fault *fault, size_t at)
{
    static const char first[] = CONTAINERS "[0]";
    char *const texts[] = {fault->message, fault->field, fault->metadata[0].value};
    const size_t sizes[] = {sizeof(fault->message), sizeof(fault->field),
                            sizeof(fault->metadata[0].value)};
    char own[sizeof(fault->message)];
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        if (strncmp(texts[i], first, sizeof(first) - 1) != 0)
            continue;
        snprintf(own, sizeof(own), CONTAINERS "[%zu]%s", at, texts[i] + sizeof(first) - 1);
        snprintf(texts[i], sizes[i], "%s", own);
        cwsd_text_clean(texts[i]);
    }
    return false;
}

enum cws_status cwsd_spec_complete(cwsd_pb_spec *spec)
{
    if (spec->n_containers > 1)
        return CWS_OK;
    cwsd_pb_container *only = spec->containers[0];
    only->_primary_case = PRIMARY_SET;
    only->primary = true;
    if (!only->name[0])
        only->name = cws_strdup("main");
    return only->name ? CWS_OK : CWS_NO_MEMORY;
}

size_t cwsd_spec_primary(const cwsd_pb_spec *spec)
{
    for (size_t i = 0; i < spec->n_containers; i++)
        if (is_primary(spec->containers[i]))
            return i;
    return 0;
}
