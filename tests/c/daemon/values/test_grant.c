/* cwsandboxd/grant: what is asked for, and the text that a certificate carries. */
#include "support/daemon_help.h"

#include "values/grant.h"

static bool ask(const char *id, const int *permissions, size_t count, struct cwsd_grant *grant,
                struct cwsd_fault *fault)
{
    cwsd_pb_connect_request request = COREWEAVE__SANDBOX__V1__CONNECT_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)id;
    request.n_requested_permissions = count;
    request.requested_permissions =
        (Coreweave__Sandbox__V1__SandboxDataPermission *)(uintptr_t)permissions;
    return cwsd_grant_from_request(&request, grant, fault);
}

static void what_is_asked_for_is_what_is_written(void **state)
{
    (void)state;
    const int wanted[] = {5, 2, 5};
    struct cwsd_grant grant, read;
    struct cwsd_fault fault;
    char uri[CWSD_GRANT_URI_SIZE];
    assert_true(ask("sb-1", wanted, CWS_ARRAY_LEN(wanted), &grant, &fault));
    cwsd_grant_uri(&grant, uri);
    assert_string_equal(uri, "cwsandbox:sb-1?permissions=25");
    assert_true(cwsd_grant_parse(uri, &read));
    assert_string_equal(read.sandbox_id, "sb-1");
    for (int permission = 0; permission < CWSD_PERMISSION_END; permission++)
        assert_int_equal(cwsd_grant_has(&read, permission), permission == 2 || permission == 5);
}

static void what_cannot_be_granted(void **state)
{
    (void)state;
    static const int sets[][2] = {{0, 1}, {2, 6}, {-1, 2}, {2, 1 << 20}};
    struct cwsd_grant grant;
    struct cwsd_fault fault;
    for (size_t i = 0; i < CWS_ARRAY_LEN(sets); i++) {
        assert_false(ask("sb-1", sets[i], 2, &grant, &fault));
        assert_string_equal(fault.field, "requested_permissions");
    }
    assert_false(ask("sb-1", NULL, 0, &grant, &fault));
    assert_string_equal(fault.field, "requested_permissions");
    assert_false(ask("sb-0123456789012345678901234567890123", sets[0], 1, &grant, &fault));
    assert_string_equal(fault.field, "sandbox_id");
}

static void texts_that_are_no_grant(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "sb-1",
        "cwsandbox:",
        "cwsandbox:sb-1",
        "cwsandbox:?permissions=2",
        "cwsandbox:sb-1?permissions=26",
        "cwsandbox:sb-1?permissions=2,3",
        "cwsandbox:sb-1?permissions=0",
        "cwsandbox:sb-0123456789012345678901234567890123?permissions=2",
        "https://sb-1?permissions=2",
    };
    struct cwsd_grant grant;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++)
        if (cwsd_grant_parse(texts[i], &grant))
            fail_msg("\"%s\"", texts[i]);
    assert_true(cwsd_grant_parse("cwsandbox:sb-1?permissions=", &grant));
    assert_int_equal(grant.permissions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(what_is_asked_for_is_what_is_written),
        CWSD_TEST(what_cannot_be_granted),
        CWSD_TEST(texts_that_are_no_grant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
