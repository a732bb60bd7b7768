/* cwsandboxd/spec and what it is made of: argv, pairs, path, quantity, digest. */
#include "support/daemon_help.h"

#include "store/digest.h"
#include "values/bounds.h"
#include "values/path.h"
#include "values/quantity.h"
#include "values/spec.h"

#define RUNNER "local-here"
#define C0     "spec.containers[0]"

/* A spec to spoil, with every part that a test may want to put into it. */
struct parts {
    cwsd_pb_spec spec;
    cwsd_pb_container container;
    cwsd_pb_container *containers[2];
    cwsd_pb_network network;
    cwsd_pb_security security;
    cwsd_pb_requirements requirements;
    cwsd_pb_resources resources;
    Coreweave__Sandbox__V1__Gpu gpu;
    cwsd_pb_file file;
    cwsd_pb_file *files[1];
    char *strings[1];
    struct cwsd_fault fault;
};

static void prepare(struct parts *parts)
{
    memset(parts, 0, sizeof(*parts));
    plain_spec(&parts->spec, &parts->container, parts->containers);
    coreweave__sandbox__v1__network_options__init(&parts->network);
    coreweave__sandbox__v1__security_context__init(&parts->security);
    coreweave__sandbox__v1__resource_requirements__init(&parts->requirements);
    coreweave__sandbox__v1__resources__init(&parts->resources);
    coreweave__sandbox__v1__gpu__init(&parts->gpu);
    coreweave__sandbox__v1__file_mount__init(&parts->file);
    parts->files[0] = &parts->file;
}

static bool check(struct parts *parts)
{
    parts->fault.code = CWS_GRPC_OK;
    bool fine = cwsd_spec_check(&parts->spec, RUNNER, &parts->fault);
    assert_int_equal(fine, parts->fault.code == CWS_GRPC_OK);
    return fine;
}

static void assert_refused(struct parts *parts, enum cws_grpc_code code, const char *reason,
                           const char *field)
{
    assert_false(check(parts));
    assert_int_equal(parts->fault.code, code);
    assert_string_equal(parts->fault.reason, reason);
    if (!strstr(parts->fault.message, field))
        fail_msg("\"%s\" does not name %s", parts->fault.message, field);
}

static void plain_is_accepted(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    assert_true(check(&parts));
    assert_int_equal(cwsd_spec_lifetime_s(&parts.spec), CWSD_DEFAULT_LIFETIME_S);
    parts.container.name = (char *)"";
    parts.spec.max_lifetime_seconds = 3;
    assert_true(check(&parts));
    assert_int_equal(cwsd_spec_lifetime_s(&parts.spec), 3);
}

static void what_is_the_case_anyway_is_accepted(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.spec.network = &parts.network;
    parts.network._deny_egress_case =
        COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS___DENY_EGRESS_DENY_EGRESS;
    parts.network.deny_egress = true;
    parts.network._deny_ingress_case =
        COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS___DENY_INGRESS_DENY_INGRESS;
    parts.network.deny_ingress = true;
    parts.container.security_context = &parts.security;
    parts.security._privileged_case =
        COREWEAVE__SANDBOX__V1__SECURITY_CONTEXT___PRIVILEGED_PRIVILEGED;
    parts.container.resource_requirements = &parts.requirements;
    parts.requirements.limits = &parts.resources;
    parts.resources.cpu = (char *)"500m";
    parts.resources.memory = (char *)"1.5Gi";
    assert_true(check(&parts));
}

static void root_is_who_everything_runs_as(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.container.security_context = &parts.security;
    parts.security._run_as_user_case =
        COREWEAVE__SANDBOX__V1__SECURITY_CONTEXT___RUN_AS_USER_RUN_AS_USER;
    parts.security._run_as_group_case =
        COREWEAVE__SANDBOX__V1__SECURITY_CONTEXT___RUN_AS_GROUP_RUN_AS_GROUP;
    assert_true(check(&parts));
    parts.security.run_as_user = 1000;
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   C0 ".security_context.run_as_user");
    parts.security.run_as_user = 0;
    parts.security.run_as_group = 1000;
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   C0 ".security_context.run_as_group");
}

static void other_security_is_refused(void **state)
{
    (void)state;
    struct parts parts;
    char *all[] = {(char *)"ALL"};
    prepare(&parts);
    parts.container.security_context = &parts.security;
    parts.security.seccomp_profile = (char *)"RuntimeDefault";
    assert_true(check(&parts));
    parts.security.seccomp_profile = (char *)"Unconfined";
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   C0 ".security_context.seccomp_profile");
    parts.security.seccomp_profile = (char *)"";
    parts.security.capabilities_add = all;
    parts.security.n_capabilities_add = 1;
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   C0 ".security_context.capabilities_add");
}

/* What is wrong with one of several containers is told about that one. */
static void each_container_is_checked(void **state)
{
    (void)state;
    struct parts parts;
    cwsd_pb_container second;
    prepare(&parts);
    plain_spec(&parts.spec, &parts.container, parts.containers);
    coreweave__sandbox__v1__container__init(&second);
    parts.container._primary_case = COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY;
    parts.container.primary = true;
    second.name = (char *)"db";
    parts.containers[1] = &second;
    parts.spec.n_containers = 2;
    assert_true(check(&parts));
    second.working_dir = (char *)"relative";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, "spec.containers[1].working_dir");
    second.working_dir = (char *)"";
    second.image_pull_credentials = (Coreweave__Sandbox__V1__ImagePullCredentials[]){
        COREWEAVE__SANDBOX__V1__IMAGE_PULL_CREDENTIALS__INIT};
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "spec.containers[1].image_pull_credentials");
    assert_string_equal(parts.fault.metadata[0].value, "spec.containers[1].image_pull_credentials");
}

static void registered_volumes_are_allowed(void **state)
{
    (void)state;
    struct parts parts;
    Coreweave__Sandbox__V1__SandboxVolume volume = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__INIT;
    Coreweave__Sandbox__V1__SandboxVolume *volumes[] = {&volume};

    prepare(&parts);
    parts.spec.n_volumes = 1;
    parts.spec.volumes = volumes;
    volume.source_case = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_VOLUME_ID;
    volume.volume_id = (char *)"vol-1";
    volume.name = (char *)"data";
    assert_true(cwsd_spec_check(&parts.spec, RUNNER, &parts.fault));
}

static void storage_and_runtimes_are_refused(void **state)
{
    (void)state;
    struct parts parts;
    Coreweave__Sandbox__V1__ObjectStorageAccess storage =
        COREWEAVE__SANDBOX__V1__OBJECT_STORAGE_ACCESS__INIT;

    prepare(&parts);
    parts.spec.object_storage_access = &storage;
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "spec.object_storage_access");

    prepare(&parts);
    parts.spec.runtime_class = (char *)"gvisor";
    assert_refused(&parts, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "spec.runtime_class");
}

static void features_of_containers_are_refused(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.container.resource_requirements = &parts.requirements;
    parts.requirements.requests = &parts.resources;
    parts.resources.gpu = &parts.gpu;
    assert_true(check(&parts));
    parts.gpu.count = 1;
    assert_refused(&parts, CWS_GRPC_INVALID_ARGUMENT, CWSD_REASON_RESOURCE_CEILING, "GPU");
}

static void commands(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.strings[0] = (char *)"";
    parts.container.n_args = 1;
    parts.container.args = parts.strings;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".args");
    parts.container.command = (char *)"echo";
    assert_true(check(&parts));

    char *longest = test_malloc(CWSD_MAX_ARG_BYTES + 2);
    memset(longest, 'a', CWSD_MAX_ARG_BYTES + 1);
    longest[CWSD_MAX_ARG_BYTES] = '\0';
    parts.strings[0] = longest;
    assert_true(check(&parts));
    longest[CWSD_MAX_ARG_BYTES] = 'a';
    longest[CWSD_MAX_ARG_BYTES + 1] = '\0';
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".command");
    test_free(longest);
}

static void names_and_paths(void **state)
{
    (void)state;
    struct parts parts;
    static const char *const wrong_names[] = {"Main", "a_b", "-a", "a-", "a.b"};
    prepare(&parts);
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong_names); i++) {
        parts.container.name = (char *)wrong_names[i];
        assert_false(check(&parts));
        assert_invalid(&parts.fault, C0 ".name");
    }
    parts.container.name = (char *)"web-1";
    assert_true(check(&parts));
    parts.container.working_dir = (char *)"work";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".working_dir");
    parts.container.working_dir = (char *)"/work";
    parts.container.n_files = 1;
    parts.container.files = parts.files;
    static const char *const wrong_files[] = {"", "a", "/a/", "/", "/a/../b"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong_files); i++) {
        parts.file.path = (char *)wrong_files[i];
        assert_false(check(&parts));
        assert_invalid(&parts.fault, C0 ".files");
    }
    parts.file.path = (char *)"/etc/app..conf";
    assert_true(check(&parts));
    parts.file.mode = 0777;
    assert_true(check(&parts));
    parts.file.mode = 04755;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".files");
    parts.file.mode = 0;
    parts.file.content.len = CWSD_MAX_FILE_BYTES + 1; /* only its length is looked at */
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".files");
}

static void environment(void **state)
{
    (void)state;
    struct parts parts;
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry entry[2] = {
        COREWEAVE__SANDBOX__V1__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT,
        COREWEAVE__SANDBOX__V1__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT,
    };
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry *entries[] = {&entry[0],
                                                                               &entry[1]};
    prepare(&parts);
    parts.container.environment_variables = entries;
    parts.container.n_environment_variables = 2;
    static const char *const wrong[] = {"", "A=B", "="};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++) {
        entry[0].key = (char *)"FINE";
        entry[1].key = (char *)wrong[i];
        assert_false(check(&parts));
        assert_invalid(&parts.fault, C0 ".environment_variables");
    }
    entry[0].key = entry[1].key = (char *)"TWICE";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".environment_variables");
    assert_non_null(strstr(parts.fault.message, "TWICE"));
    entry[0].key = (char *)"B";
    entry[1].key = (char *)"A";
    assert_true(check(&parts));
}

static void equal_maps_have_equal_digests(void **state)
{
    (void)state;
    struct parts parts;
    struct cwsd_digest digests[3];
    for (int i = 0; i < 3; i++) {
        Coreweave__Sandbox__V1__SandboxSpec__AnnotationsEntry a =
            COREWEAVE__SANDBOX__V1__SANDBOX_SPEC__ANNOTATIONS_ENTRY__INIT;
        Coreweave__Sandbox__V1__SandboxSpec__AnnotationsEntry b = a;
        Coreweave__Sandbox__V1__SandboxSpec__AnnotationsEntry *list[] = {&a, &b};
        a.key = (char *)(i == 1 ? "x" : "y");
        b.key = (char *)(i == 1 ? "y" : "x");
        b.value = (char *)(i == 2 ? "other" : "");
        prepare(&parts);
        parts.spec.annotations = list;
        parts.spec.n_annotations = 2;
        assert_true(check(&parts));
        digests[i] = cwsd_digest_of(&parts.spec.base);
    }
    assert_true(cwsd_digest_equal(digests[0], digests[1]));
    assert_false(cwsd_digest_equal(digests[0], digests[2]));
}

static void placement(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.strings[0] = (char *)RUNNER;
    parts.spec.runner_ids = parts.strings;
    parts.spec.n_runner_ids = 1;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, "spec.runner_ids");
    parts.spec.mode = COREWEAVE__SANDBOX__V1__SANDBOX_MODE__SANDBOX_MODE_CKS;
    assert_true(check(&parts));
    parts.strings[0] = (char *)"elsewhere";
    assert_refused(&parts, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_PLACEMENT, "elsewhere");
    parts.spec.mode = 99;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, "spec.mode");
}

static void tags_and_lifetime(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.spec.max_lifetime_seconds = -1;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, "spec.max_lifetime_seconds");
    parts.spec.max_lifetime_seconds = CWSD_MAX_LIFETIME_S + 1;
    assert_false(check(&parts));
    parts.spec.max_lifetime_seconds = CWSD_MAX_LIFETIME_S;
    assert_true(check(&parts));
    parts.strings[0] = (char *)"";
    parts.spec.tags = parts.strings;
    parts.spec.n_tags = 1;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, "spec.tags");
}

static void quantities(void **state)
{
    (void)state;
    static const char *const fine[] = {"0",  "1",  "500m", "2Gi",  "1.5",
                                       ".5", "5.", "1e3",  "1E-3", "16Ei"};
    static const char *const wrong[] = {
        "",    ".",  "m",  "-1",    "+1",   "1 Gi",
        "1GB", "1e", "Gi", "1.2.3", "0x10", "11111111111111111111111111111111111"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(fine); i++)
        if (!cwsd_quantity_is_valid(fine[i]))
            fail_msg("%s", fine[i]);
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++)
        if (cwsd_quantity_is_valid(wrong[i]))
            fail_msg("%s", wrong[i]);
    struct parts parts;
    prepare(&parts);
    parts.container.resources = &parts.resources;
    parts.resources.cpu = (char *)"many";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".resources");
    parts.resources.cpu = (char *)"2";
    parts.container.resource_requirements = &parts.requirements;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, C0 ".resources");
}

static void paths(void **state)
{
    (void)state;
    assert_null(cwsd_path_fault("/"));
    assert_null(cwsd_path_fault("/..."));
    assert_null(cwsd_path_fault("//a//b"));
    assert_non_null(cwsd_path_fault("/.."));
    assert_non_null(cwsd_path_fault("//../a"));
    assert_non_null(cwsd_path_fault("/a/..//"));
    assert_non_null(cwsd_path_fault("../a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(plain_is_accepted),
        CWSD_TEST(what_is_the_case_anyway_is_accepted),
        CWSD_TEST(root_is_who_everything_runs_as),
        CWSD_TEST(other_security_is_refused),
        CWSD_TEST(each_container_is_checked),
        CWSD_TEST(registered_volumes_are_allowed),
        CWSD_TEST(storage_and_runtimes_are_refused),
        CWSD_TEST(features_of_containers_are_refused),
        CWSD_TEST(commands),
        CWSD_TEST(names_and_paths),
        CWSD_TEST(environment),
        CWSD_TEST(equal_maps_have_equal_digests),
        CWSD_TEST(placement),
        CWSD_TEST(tags_and_lifetime),
        CWSD_TEST(quantities),
        CWSD_TEST(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
