#include "values/compose.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/compose_private.h"
#include "values/text.h"
#include "values/wire.h"

/* Keys of Compose that mean something which this daemon cannot do. */
static const char *const not_here[] = {
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",

    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "driver_opts",
    "env_file",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",

    "hostname",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
};

static bool is_extension(const char *key)
{
    return strncmp(key, "x-", 2) == 0;
}

/* A service while it is read. */
struct service {
    cwsd_pb_container *container;
    struct cwsd_plan_row *row;
    char **entrypoint, **command;
    size_t entrypoint_count, command_count;
};

/* ---- keys of a service ---------------------------------------------------------------------- */

static bool take_text(const struct cwsd_compose_at *at, const struct cwsd_yaml *node, char **field)
{
    char *text = cwsd_compose_text(at, node);
    if (!text)
        return false;
    *field = text;
    return true;
}

static bool read_image(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                       struct service *service)
{
    return take_text(at, node, &service->container->image);
}

static bool read_working_dir(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                             struct service *service)
{
    return take_text(at, node, &service->container->working_dir);
}

static bool read_command(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                         struct service *service)
{
    return cwsd_compose_words(at, node, &service->command, &service->command_count);
}

static bool read_entrypoint(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                            struct service *service)
{
    return cwsd_compose_words(at, node, &service->entrypoint, &service->entrypoint_count);
}

static bool read_environment(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                             struct service *service)
{
    return cwsd_compose_environment(at, node, service->container);
}

static bool read_deploy(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        struct service *service)
{
    return cwsd_compose_deploy(at, node, service->container);
}

static bool read_depends_on(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                            struct service *service)
{
    return cwsd_compose_depends_on(at, node, service->row);
}

static bool read_healthcheck(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                             struct service *service)
{
    return cwsd_compose_healthcheck(at, node, service->row);
}

static bool read_ports(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                       struct service *service)
{
    (void)service;
    return cwsd_compose_ports(at, node, true);
}

static bool read_expose(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        struct service *service)
{
    (void)service;
    return cwsd_compose_ports(at, node, false);
}

static const struct {
    const char *key;
    bool (*read)(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                 struct service *service);
} keys[] = {
    {"image", read_image},
    {"command", read_command},
    {"entrypoint", read_entrypoint},
    {"environment", read_environment},
    {"working_dir", read_working_dir},
    {"expose", read_expose},
    {"ports", read_ports},
    {"deploy", read_deploy},
    {"depends_on", read_depends_on},
    {"healthcheck", read_healthcheck},
};

static bool read_key(const struct cwsd_compose_at *of_service, const struct cwsd_yaml_item *item,
                     struct service *service)
{
    struct cwsd_compose_at at = *of_service;
    for (size_t i = 0; i < CWS_ARRAY_LEN(keys); i++)
        if (strcmp(item->key, keys[i].key) == 0) {
            at.key = keys[i].key;
            return keys[i].read(&at, item->value, service);
        }
    if (is_extension(item->key))
        return true;
    for (size_t i = 0; i < CWS_ARRAY_LEN(not_here); i++)
        if (strcmp(item->key, not_here[i]) == 0)
            return cwsd_compose_refuse_here(&at, item->key_line, not_here[i]);
    return cwsd_compose_refuse(&at, item->key_line, "\"%s\" is no key of a service",
                               cwsd_text_short(item->key).text);
}

/* ---- a service ------------------------------------------------------------------------------ */

/* There are no images here, and so no entry points but those of the file. */
static bool set_command(struct service *service, struct cwsd_fault *fault)
{
    cwsd_pb_container *container = service->container;
    size_t total = service->entrypoint_count + service->command_count;
    if (total == 0)
        return true;
    char **args = cws_calloc(total, sizeof(*args));
    if (!args)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < total; i++) {
        char **word = i < service->entrypoint_count
                          ? &service->entrypoint[i]
                          : &service->command[i - service->entrypoint_count];
        *(i == 0 ? &container->command : &args[i - 1]) = *word;
        *word = NULL;
    }
    container->args = args;
    container->n_args = total - 1;
    return true;
}

static const char *overriding_image(const struct cwsd_compose_request *request, const char *name)
{
    for (size_t i = 0; i < request->images.count; i++)
        if (strcmp(cwsd_pairs_key(&request->images, i), name) == 0)
            return cwsd_pairs_value(&request->images, i);
    return NULL;
}

static bool copy_into(char **field, const char *text, struct cwsd_fault *fault)
{
    char *copy = cws_strdup(text);
    if (!copy)
        return cwsd_fault_set_memory(fault);
    *field = copy;
    return true;
}

/* What is not in the service itself. */
static bool complete(const struct cwsd_compose_request *request, const char *name, unsigned line,
                     cwsd_pb_container *container, struct cwsd_fault *fault)
{
    const struct cwsd_compose_at at = {.service = name, .fault = fault};
    const char *image = overriding_image(request, name);
    container->_primary_case = COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY;
    container->primary = strcmp(name, request->primary_service) == 0;
    if (image && container->image[0]) {
        cws_free(container->image);
        container->image = (char *)protobuf_c_empty_string;
    }
    if (!copy_into(&container->name, name, fault) ||
        (image && !copy_into(&container->image, image, fault)))
        return false;
    if (!container->image[0])
        return cwsd_compose_refuse(&at, line, "has no image, and image_overrides have none for it");
    if (container->resource_requirements || !request->default_resources)
        return true;
    struct cwsd_fault unpacked;
    size_t len = protobuf_c_message_get_packed_size(&request->default_resources->base);
    uint8_t *bytes = cws_malloc(len + 1);
    if (bytes) {
        protobuf_c_message_pack(&request->default_resources->base, bytes);
        container->resource_requirements =
            cwsd_wire_unpack(request->default_resources->base.descriptor, bytes, len, &unpacked);
    }
    cws_free(bytes);
    return container->resource_requirements || cwsd_fault_set_memory(fault);
}

static bool read_service(const struct cwsd_compose_request *request,
                         const struct cwsd_yaml *services, size_t index,
                         cwsd_pb_container *container, struct cwsd_plan *plan,
                         struct cwsd_fault *fault)
{
    const struct cwsd_yaml_item *item = &services->items[index];
    const struct cwsd_compose_at at = {.service = item->key, .services = services, .fault = fault};
    const struct cwsd_yaml *node = item->value;
    struct service service = {.container = container, .row = &plan->rows[index]};
    bool good = node->kind == CWSD_YAML_MAP ||
                cwsd_compose_refuse(&at, item->key_line, "must be a map of the service's keys");
    for (size_t i = 0; good && i < node->count; i++)
        good = read_key(&at, &node->items[i], &service);
    good = good && set_command(&service, fault) &&
           complete(request, item->key, item->key_line, container, fault);
    cwsd_compose_free_words(service.entrypoint, service.entrypoint_count);
    cwsd_compose_free_words(service.command, service.command_count);
    return good;
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool check_top(const struct cwsd_yaml *root, struct cwsd_fault *fault)
{
    static const char *const known[] = {"networks", "volumes", "configs", "secrets",
                                        "include",  "models",  "name"};
    if (root->kind != CWSD_YAML_MAP)
        return cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD, "line %u: must be a map",
                                      root->line);
    for (size_t i = 0; i < root->count; i++) {
        const char *key = root->items[i].key;
        if (strcmp(key, "services") == 0 || strcmp(key, "version") == 0 || is_extension(key))
            continue;
        for (size_t j = 0; j < CWS_ARRAY_LEN(known); j++)
            if (strcmp(key, known[j]) == 0) {
                cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                               CWSD_COMPOSE_FIELD ": %s (line %u): this daemon does not support it",
                               known[j], root->items[i].key_line);
                cwsd_fault_note(fault, "field", CWSD_COMPOSE_FIELD);
                return false;
            }
        return cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD,
                                      "line %u: \"%s\" is no key of a Compose file",
                                      root->items[i].key_line, cwsd_text_short(key).text);
    }
    return true;
}

static bool check_services(const struct cwsd_compose_request *request,
                           const struct cwsd_yaml *services, struct cwsd_fault *fault)
{
    if (!services || services->kind != CWSD_YAML_MAP || services->count == 0)
        return cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD, "has no services");
    if (services->count > CWSD_MAX_CONTAINERS)
        return cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD,
                                      "%zu services; at most %d are allowed", services->count,
                                      CWSD_MAX_CONTAINERS);
    if (!cwsd_yaml_get(services, request->primary_service))
        return cwsd_fault_set_invalid(fault, "primary_service", "\"%s\" is no service of the file",
                                      cwsd_text_short(request->primary_service).text);
    for (size_t i = 0; i < request->images.count; i++) {
        const char *service = cwsd_pairs_key(&request->images, i);
        if (!cwsd_yaml_get(services, service))
            return cwsd_fault_set_invalid(fault, "image_overrides",
                                          "\"%s\" is no service of the file",
                                          cwsd_text_short(service).text);
    }
    return true;
}

static bool fill_spec(const struct cwsd_compose_request *request, const struct cwsd_yaml *services,
                      cwsd_pb_spec *spec, struct cwsd_plan *plan, struct cwsd_fault *fault)
{
    spec->containers = cws_calloc(services->count, sizeof(*spec->containers));
    if (!spec->containers)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < services->count; i++) {
        cwsd_pb_container *container = cws_malloc(sizeof(*container));
        if (!container)
            return cwsd_fault_set_memory(fault);
        coreweave__sandbox__v1__container__init(container);
        spec->containers[spec->n_containers++] = container;
        if (!read_service(request, services, i, container, plan, fault))
            return false;
    }
    return cwsd_compose_check_order(services, plan, fault);
}

static bool read_services(const struct cwsd_compose_request *request,
                          const struct cwsd_yaml *services, cwsd_pb_spec *spec,
                          struct cwsd_plan **out_plan, struct cwsd_fault *fault)
{
    if (!check_services(request, services, fault))
        return false;
    struct cwsd_plan *plan = cwsd_plan_new(services->count);
    if (!plan)
        return cwsd_fault_set_memory(fault);
    if (!fill_spec(request, services, spec, plan, fault)) {
        cwsd_plan_free(plan);
        return false;
    }
    *out_plan = plan;
    return true;
}

bool cwsd_compose_read(const struct cwsd_compose_request *request, cwsd_pb_spec *spec,
                       struct cwsd_plan **out_plan, struct cwsd_fault *fault)
{
    struct cwsd_yaml_document document;
    if (request->len > CWSD_MAX_COMPOSE_BYTES)
        return cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD,
                                      "has %zu bytes; at most %zu are allowed", request->len,
                                      CWSD_MAX_COMPOSE_BYTES);
    if (!cwsd_yaml_read(&document, CWSD_COMPOSE_FIELD, request->text, request->len, fault))
        return false;
    bool good =
        check_top(document.root, fault) &&
        read_services(request, cwsd_yaml_get(document.root, "services"), spec, out_plan, fault);
    cwsd_yaml_done(&document);
    return good;
}
