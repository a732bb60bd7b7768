#include "values/spec.h"

#include <string.h>

#include "values/argv.h"
#include "values/bounds.h"
#include "values/pairs.h"
#include "values/path.h"
#include "values/quantity.h"
#include "values/spec_containers.h"
#include "values/spec_secrets.h"
#include "values/spec_services.h"
#include "values/spec_volumes.h"
#include "values/text.h"

/* cwsd_spec_blame_container says which one it is. */
#define CONTAINER "spec.containers[0]"
#define SECURITY  CONTAINER ".security_context"

#define RUNTIME_CLASS_UNSPECIFIED COREWEAVE__SANDBOX__V1__RUNTIME_CLASS__RUNTIME_CLASS_UNSPECIFIED
#define MODE_UNSPECIFIED          COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_UNSPECIFIED
#define MODE_SERVERLESS           COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS
#define MODE_CKS                  COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_CKS

/* An option that this daemon does not support. */
struct refusal {
    const char *field;
    const char *what;
    const char *reason;
    enum cws_grpc_code code;
    bool asked;
};

static bool refuse_first(const struct refusal *refusals, size_t count, struct cwsd_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (!refusals[i].asked)
            continue;
        cwsd_fault_set(fault, refusals[i].code, refusals[i].reason, "%s: this daemon has no %s",
                       refusals[i].field, refusals[i].what);
        cwsd_fault_note(fault, "field", refusals[i].field);
        return false;
    }
    return true;
}

#define NOT_HERE CWSD_REASON_NOT_IMPLEMENTED, CWS_GRPC_UNIMPLEMENTED

static bool check_sandbox_refusals(const cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    const struct refusal refusals[] = {
        {"spec.network_ids", "shared networks", NOT_HERE, spec->n_network_ids > 0},
        {"spec.network_config_id", "network configurations", NOT_HERE, spec->network_config_id[0]},
        {"spec.object_storage_access", "object storage", NOT_HERE,
         spec->object_storage_access != NULL},
        {"spec.instance_type", "choice of instance types", NOT_HERE, spec->instance_type[0]},
        {"spec.runtime_class", "choice of runtime classes", NOT_HERE, spec->runtime_class[0]},
        {"spec.runtime_class_selection", "choice of runtime classes", NOT_HERE,
         spec->runtime_class_selection != RUNTIME_CLASS_UNSPECIFIED},
    };
    return refuse_first(refusals, CWS_ARRAY_LEN(refusals), fault);
}

/* What is the case anyway may be asked for: root, as which everything in a sandbox runs, no
 * privileges, no new ones, a writable root, and the one system call filter that there is. */
static bool check_security(const cwsd_pb_security *security, struct cwsd_fault *fault)
{
    if (!security)
        return true;
    const char *profile = security->seccomp_profile;
    const struct refusal refusals[] = {
        {SECURITY ".run_as_user", "users but root in its sandboxes", NOT_HERE,
         security->_run_as_user_case && security->run_as_user != 0},
        {SECURITY ".run_as_group", "groups but root's in its sandboxes", NOT_HERE,
         security->_run_as_group_case && security->run_as_group != 0},
        {SECURITY ".privileged", "privileged sandboxes", NOT_HERE,
         security->_privileged_case && security->privileged},
        {SECURITY ".allow_privilege_escalation", "sandboxes that can gain privileges", NOT_HERE,
         security->_allow_privilege_escalation_case && security->allow_privilege_escalation},
        {SECURITY ".read_only_root_filesystem", "sandboxes with a read-only root", NOT_HERE,
         security->_read_only_root_filesystem_case && security->read_only_root_filesystem},
        {SECURITY ".capabilities_add", "choice of capabilities", NOT_HERE,
         security->n_capabilities_add > 0},
        {SECURITY ".capabilities_drop", "choice of capabilities", NOT_HERE,
         security->n_capabilities_drop > 0},
        {SECURITY ".seccomp_profile", "filter of system calls but \"RuntimeDefault\"", NOT_HERE,
         profile[0] && strcmp(profile, "RuntimeDefault") != 0},
    };
    return refuse_first(refusals, CWS_ARRAY_LEN(refusals), fault);
}

static bool wants_gpu(const cwsd_pb_resources *resources)
{
    return resources && resources->gpu && resources->gpu->count != 0;
}

static bool check_container_refusals(const cwsd_pb_container *container, struct cwsd_fault *fault)
{
    const cwsd_pb_requirements *requirements = container->resource_requirements;
    bool gpu =
        wants_gpu(container->resources) ||
        (requirements && (wants_gpu(requirements->requests) || wants_gpu(requirements->limits)));
    const struct refusal refusals[] = {
        {CONTAINER ".image_pull_credentials", "images to pull", NOT_HERE,
         container->image_pull_credentials != NULL},
        {CONTAINER ".startup_probe", "startup probes", NOT_HERE, container->startup_probe != NULL},
        {CONTAINER ".resource_requirements", "GPU", CWSD_REASON_RESOURCE_CEILING,
         CWS_GRPC_INVALID_ARGUMENT, gpu},
    };
    return refuse_first(refusals, CWS_ARRAY_LEN(refusals), fault);
}

static bool check_resources(const char *field, const cwsd_pb_resources *resources,
                            struct cwsd_fault *fault)
{
    if (!resources)
        return true;
    const char *const values[] = {resources->cpu, resources->memory};
    for (size_t i = 0; i < CWS_ARRAY_LEN(values); i++)
        if (values[i][0] && !cwsd_quantity_is_valid(values[i]))
            return cwsd_fault_set_invalid(fault, field,
                                          "\"%s\" is no quantity such as \"500m\" or \"2Gi\"",
                                          cwsd_text_short(values[i]).text);
    return true;
}

static bool check_container_resources(const cwsd_pb_container *container, struct cwsd_fault *fault)
{
    const cwsd_pb_requirements *requirements = container->resource_requirements;
    if (!check_resources(CONTAINER ".resources", container->resources, fault))
        return false;
    if (!requirements)
        return true;
    if (container->resources)
        return cwsd_fault_set_invalid(fault, CONTAINER ".resources",
                                      "excludes resource_requirements; give one of the two");
    return check_resources(CONTAINER ".resource_requirements.requests", requirements->requests,
                           fault) &&
           check_resources(CONTAINER ".resource_requirements.limits", requirements->limits, fault);
}

static bool check_files(const cwsd_pb_container *container, struct cwsd_fault *fault)
{
    size_t total = 0;
    if (container->n_files > CWSD_MAX_FILES)
        return cwsd_fault_set_invalid(fault, CONTAINER ".files",
                                      "%zu files; at most %d are allowed", container->n_files,
                                      CWSD_MAX_FILES);
    for (size_t i = 0; i < container->n_files; i++) {
        const char *path = container->files[i]->path;
        const char *wrong = cwsd_path_fault(path);
        if (!wrong && path[strlen(path) - 1] == '/')
            wrong = "must name a file, not a directory";
        if (wrong)
            return cwsd_fault_set_invalid(fault, CONTAINER ".files", "the path \"%s\" %s",
                                          cwsd_text_short(path).text, wrong);
        if (container->files[i]->mode > 0777)
            return cwsd_fault_set_invalid(
                fault, CONTAINER ".files", "the mode of \"%s\" is 0%o; at most 0777 is allowed",
                cwsd_text_short(path).text, (unsigned)container->files[i]->mode);
        total += container->files[i]->content.len;
    }
    if (total > CWSD_MAX_FILE_BYTES)
        return cwsd_fault_set_invalid(fault, CONTAINER ".files",
                                      "have %zu bytes; at most %zu are allowed", total,
                                      CWSD_MAX_FILE_BYTES);
    return true;
}

static bool check_command(const cwsd_pb_container *container, struct cwsd_fault *fault)
{
    if (container->command[0])
        return cwsd_argv_check(CONTAINER ".command", container->command, container->args,
                               container->n_args, fault);
    if (container->n_args)
        return cwsd_fault_set_invalid(
            fault, CONTAINER ".args",
            "need a command: there is no image whose entry point takes them");
    return true;
}

static bool check_container(cwsd_pb_container *container, struct cwsd_fault *fault)
{
    if (!check_container_refusals(container, fault) || !check_command(container, fault))
        return false;
    struct cwsd_pairs environment = CWSD_PAIRS(container, environment_variables);
    if (!cwsd_argv_check_environment(CONTAINER ".environment_variables", &environment, fault))
        return false;
    if (container->working_dir[0] && cwsd_path_fault(container->working_dir))
        return cwsd_fault_set_invalid(fault, CONTAINER ".working_dir", "\"%s\" %s",
                                      cwsd_text_short(container->working_dir).text,
                                      cwsd_path_fault(container->working_dir));
    return check_files(container, fault) && check_security(container->security_context, fault) &&
           cwsd_spec_check_secrets(container, CONTAINER ".secret_stores", fault) &&
           check_container_resources(container, fault);
}

static bool check_tags(const cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    if (spec->n_tags > CWSD_MAX_TAGS)
        return cwsd_fault_set_invalid(fault, "spec.tags", "%zu tags; at most %d are allowed",
                                      spec->n_tags, CWSD_MAX_TAGS);
    for (size_t i = 0; i < spec->n_tags; i++)
        if (spec->tags[i][0] == '\0' || strlen(spec->tags[i]) > CWSD_MAX_NAME_BYTES)
            return cwsd_fault_set_invalid(fault, "spec.tags", "\"%s\" must have 1 to %d bytes",
                                          cwsd_text_short(spec->tags[i]).text, CWSD_MAX_NAME_BYTES);
    return true;
}

static bool check_annotations(cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    const char *field = "spec.annotations";
    size_t total = 0;
    if (spec->n_annotations > CWSD_MAX_ANNOTATIONS)
        return cwsd_fault_set_invalid(fault, field, "%zu entries; at most %d are allowed",
                                      spec->n_annotations, CWSD_MAX_ANNOTATIONS);
    struct cwsd_pairs pairs = CWSD_PAIRS(spec, annotations);
    const char *twice = cwsd_pairs_sort(&pairs);
    if (twice)
        return cwsd_fault_set_invalid(fault, field, "%s is given twice",
                                      cwsd_text_short(twice).text);
    for (size_t i = 0; i < pairs.count; i++) {
        if (cwsd_pairs_key(&pairs, i)[0] == '\0')
            return cwsd_fault_set_invalid(fault, field, "a key must not be empty");
        total += strlen(cwsd_pairs_key(&pairs, i)) + strlen(cwsd_pairs_value(&pairs, i));
    }
    if (total > CWSD_MAX_ANNOTATION_BYTES)
        return cwsd_fault_set_invalid(fault, field, "have %zu bytes; at most %zu are allowed",
                                      total, CWSD_MAX_ANNOTATION_BYTES);
    return true;
}

static bool check_placement(const cwsd_pb_spec *spec, const char *runner_id,
                            struct cwsd_fault *fault)
{
    if (spec->mode != MODE_UNSPECIFIED && spec->mode != MODE_SERVERLESS && spec->mode != MODE_CKS)
        return cwsd_fault_set_invalid(fault, "spec.mode", "%d is no sandbox mode", (int)spec->mode);
    if (spec->n_runner_ids == 0)
        return true;
    if (spec->n_runner_ids > CWSD_MAX_RUNNER_IDS)
        return cwsd_fault_set_invalid(fault, "spec.runner_ids",
                                      "%zu entries; at most %d are allowed", spec->n_runner_ids,
                                      CWSD_MAX_RUNNER_IDS);
    if (spec->mode != MODE_CKS)
        return cwsd_fault_set_invalid(fault, "spec.runner_ids", "need the mode SANDBOX_MODE_CKS");
    for (size_t i = 0; i < spec->n_runner_ids; i++)
        if (strcmp(spec->runner_ids[i], runner_id) == 0)
            return true;
    return cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_PLACEMENT,
                          "spec.runner_ids: \"%s\" is not here; this daemon's one runner is %s",
                          cwsd_text_short(spec->runner_ids[0]).text, runner_id);
}

bool cwsd_spec_check(cwsd_pb_spec *spec, const char *runner_id, struct cwsd_fault *fault)
{
    if (!check_sandbox_refusals(spec, fault) || !cwsd_spec_check_containers(spec, fault))
        return false;
    for (size_t i = 0; i < spec->n_containers; i++)
        if (!check_container(spec->containers[i], fault))
            return cwsd_spec_blame_container(fault, i);
    if (!cwsd_spec_check_volumes(spec, fault) || !cwsd_spec_check_services(spec, fault) ||
        !check_tags(spec, fault) || !check_annotations(spec, fault) ||
        !check_placement(spec, runner_id, fault))
        return false;
    if (spec->max_lifetime_seconds < 0 || spec->max_lifetime_seconds > CWSD_MAX_LIFETIME_S)
        return cwsd_fault_set_invalid(fault, "spec.max_lifetime_seconds",
                                      "%d is not between 0 (the default) and %d",
                                      (int)spec->max_lifetime_seconds, CWSD_MAX_LIFETIME_S);
    return true;
}

int32_t cwsd_spec_lifetime_s(const cwsd_pb_spec *spec)
{
    return spec->max_lifetime_seconds ? spec->max_lifetime_seconds : CWSD_DEFAULT_LIFETIME_S;
}
