/* cwsandboxd/direct: which calls a certificate admits, also on a connection that is open already.
 * The call is played. */
#include "support/unanswered_call.h"

#include <time.h>

#include "service/direct.h"

static const char *path;
static const struct cws_identity *shown;

const char *cws_server_call_header(const struct cws_server_call *call, const char *name)
{
    (void)call;
    assert_string_equal(name, ":path"); /* credentials are not looked at */
    return path;
}

const struct cws_identity *cws_server_call_identity(const struct cws_server_call *call)
{
    (void)call;
    return shown;
}

static enum cws_grpc_code verdict(const char *uri, int64_t expires_s, const char *method)
{
    struct cws_identity identity = {.expires_s = expires_s};
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    strcpy(identity.uri, uri);
    shown = &identity;
    path = method;
    bool admitted = cwsd_direct_admit(NULL, &fault);
    shown = NULL;
    assert_int_equal(admitted, fault.code == CWS_GRPC_OK);
    return fault.code;
}

#define GRANT        "cwsandbox:sb-1?permissions=25"
#define METHOD(name) CWSD_DATA_PLANE_SERVICE name

static void its_methods_until_it_expires(void **state)
{
    (void)state;
    int64_t now = time(NULL);
    assert_int_equal(verdict(GRANT, now + 60, METHOD("StreamExec")), CWS_GRPC_OK);
    assert_int_equal(verdict(GRANT, now + 60, METHOD("ReadFile")), CWS_GRPC_OK);
    assert_int_equal(verdict(GRANT, now, METHOD("ReadFile")), CWS_GRPC_UNAUTHENTICATED);
    assert_int_equal(verdict(GRANT, now - 60, METHOD("StreamExec")), CWS_GRPC_UNAUTHENTICATED);
}

static void nothing_else(void **state)
{
    (void)state;
    static const char *const others[] = {
        METHOD("Exec"),
        METHOD("StreamLogs"),
        METHOD("WriteFile"),
        METHOD("ReadFiles"),
        METHOD(""),
        "/coreweave.sandbox.v1.SandboxService/ReadFile",
        "/coreweave.sandbox.v1.SandboxService/DeleteSandbox",
        "",
        NULL,
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++)
        assert_int_equal(verdict(GRANT, time(NULL) + 60, others[i]), CWS_GRPC_PERMISSION_DENIED);
    assert_int_equal(verdict("", time(NULL) + 60, METHOD("ReadFile")), CWS_GRPC_UNAUTHENTICATED);
    assert_int_equal(verdict("cwsandbox:sb-1?permissions=", time(NULL) + 60, METHOD("ReadFile")),
                     CWS_GRPC_PERMISSION_DENIED);
}

static void nobody_without_a_certificate(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    path = METHOD("ReadFile");
    assert_false(cwsd_direct_admit(NULL, &fault));
    assert_int_equal(fault.code, CWS_GRPC_UNAUTHENTICATED);
    assert_false(cwsd_direct_welcomes(NULL, NULL));
    assert_false(cwsd_direct_welcomes(NULL, &(struct cws_identity){.uri = "https://sb-1"}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(its_methods_until_it_expires),
        CWSD_TEST(nothing_else),
        CWSD_TEST(nobody_without_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
