/* values/spec_services: which services a sandbox may have. */
#include "support/daemon_help.h"

#include "values/bounds.h"
#include "values/fault.h"
#include "values/spec_services.h"

#define PB(name)    COREWEAVE__SANDBOX__V1__##name
#define PUBLIC      PB(VISIBILITY__VISIBILITY_PUBLIC)
#define PRIVATE     PB(VISIBILITY__VISIBILITY_PRIVATE)
#define CUSTOM      PB(VISIBILITY__VISIBILITY_CUSTOM)
#define UDP         PB(SERVICE_PROTOCOL__SERVICE_PROTOCOL_UDP)
#define HTTPS       PB(ENDPOINT_KIND__ENDPOINT_KIND_HTTPS)
#define PASSTHROUGH PB(ENDPOINT_KIND__ENDPOINT_KIND_TLS_PASSTHROUGH)
#define OPEN        PB(ENDPOINT_AUTH__ENDPOINT_AUTH_OPEN)
#define TOKEN       PB(ENDPOINT_AUTH__ENDPOINT_AUTH_SHARE_TOKEN)
#define MANY        (CWSD_MAX_SERVICES + 1)

struct parts {
    cwsd_pb_spec spec;
    Coreweave__Sandbox__V1__Service services[MANY], *list[MANY];
    Coreweave__Sandbox__V1__EndpointSpec endpoint;
    struct cwsd_fault fault;
};

/* Two services with ports of their own. */
static void prepare(struct parts *parts)
{
    coreweave__sandbox__v1__sandbox_spec__init(&parts->spec);
    coreweave__sandbox__v1__endpoint_spec__init(&parts->endpoint);
    for (size_t i = 0; i < MANY; i++) {
        coreweave__sandbox__v1__service__init(&parts->services[i]);
        parts->services[i].port = (int32_t)(8000 + i);
        parts->list[i] = &parts->services[i];
    }
    parts->spec.services = parts->list;
    parts->spec.n_services = 2;
}

static bool check(struct parts *parts)
{
    parts->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    return cwsd_spec_check_services(&parts->spec, &parts->fault);
}

static void assert_wrong(struct parts *parts, const char *field)
{
    assert_false(check(parts));
    assert_invalid(&parts->fault, field);
}

static void assert_refused(struct parts *parts, const char *reason, const char *field)
{
    assert_false(check(parts));
    assert_int_equal(parts->fault.code, CWS_GRPC_UNIMPLEMENTED);
    assert_string_equal(parts->fault.reason, reason);
    assert_non_null(strstr(parts->fault.message, field));
}

static void plain_is_accepted(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    assert_true(check(&parts));
    assert_false(cwsd_spec_is_exposed(&parts.services[0]));
    parts.services[0].visibility = PUBLIC;
    parts.services[1].visibility = PUBLIC;
    assert_true(check(&parts));
    assert_true(cwsd_spec_is_exposed(&parts.services[0]));
    parts.services[0].visibility = parts.services[1].visibility = PRIVATE;
    assert_true(check(&parts));
}

static void ports_and_names(void **state)
{
    (void)state;
    struct parts parts;
    char name[CWSD_MAX_NAME_BYTES + 2];
    prepare(&parts);
    parts.services[1].port = 0;
    assert_wrong(&parts, "spec.services[1].port");
    parts.services[1].port = 65536;
    assert_wrong(&parts, "spec.services[1].port");
    parts.services[1].port = 8000;
    assert_wrong(&parts, "spec.services[1].port");
    parts.services[1].port = 65535;
    assert_true(check(&parts));
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    parts.services[0].name = name;
    assert_wrong(&parts, "spec.services[0].name");
    prepare(&parts);
    parts.spec.n_services = MANY;
    assert_wrong(&parts, "spec.services");
}

static void exposure(void **state)
{
    (void)state;
    struct parts parts;
    const char *reason = CWSD_REASON_NOT_IMPLEMENTED;
    prepare(&parts);
    parts.services[0].visibility = PUBLIC;
    parts.services[1].visibility = PRIVATE;
    assert_refused(&parts, reason, "both PUBLIC and PRIVATE");
    parts.services[1].visibility = CUSTOM;
    assert_refused(&parts, reason, "spec.services[1].visibility");
    parts.services[1].visibility = PUBLIC;
    parts.services[1].protocol = UDP;
    assert_refused(&parts, reason, "spec.services[1].protocol");
    parts.services[1].visibility = 0;
    assert_true(check(&parts)); /* inside the sandbox it is as the program likes */
}

static void endpoints(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.services[0].endpoint = &parts.endpoint;
    parts.endpoint.kind = PASSTHROUGH;
    assert_wrong(&parts, "spec.services[0].endpoint");
    parts.services[0].visibility = PUBLIC;
    assert_true(check(&parts));
    parts.endpoint.auth = OPEN;
    assert_wrong(&parts, "spec.services[0].endpoint");
    parts.endpoint.auth = 0;
    parts.endpoint.request_timeout_seconds = 15;
    assert_wrong(&parts, "spec.services[0].endpoint");
    parts.endpoint.kind = 7;
    assert_wrong(&parts, "spec.services[0].endpoint.kind");
}

static void https(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.services[0].visibility = PUBLIC;
    assert_false(cwsd_spec_has_https(&parts.services[0]));
    parts.services[0].endpoint = &parts.endpoint;
    parts.endpoint.kind = HTTPS;
    assert_wrong(&parts, "spec.services[0].endpoint.auth");
    parts.endpoint.auth = OPEN;
    assert_true(check(&parts));
    assert_true(cwsd_spec_has_https(&parts.services[0]));
    assert_false(cwsd_spec_needs_share_token(&parts.services[0]));
    parts.endpoint.auth = TOKEN;
    assert_true(check(&parts));
    assert_true(cwsd_spec_needs_share_token(&parts.services[0]));
    parts.endpoint.request_timeout_seconds = 15;
    assert_true(check(&parts));
    parts.endpoint.request_timeout_seconds = 900;
    assert_true(check(&parts));
    static const int32_t wrong[] = {-1, 1, 14, 901};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++) {
        parts.endpoint.request_timeout_seconds = wrong[i];
        assert_wrong(&parts, "spec.services[0].endpoint.request_timeout_seconds");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(plain_is_accepted), CWSD_TEST(ports_and_names), CWSD_TEST(exposure),
        CWSD_TEST(endpoints),         CWSD_TEST(https),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
