/* cwsandboxd/auth: which calls carry the token. The call is played. */
#include "support/unanswered_call.h"

#include "service/auth.h"

#define TOKEN "a-token-0123456789"

static const char *header_name, *header_value;

const char *cws_server_call_header(const struct cws_server_call *call, const char *name)
{
    (void)call;
    return header_name && strcmp(name, header_name) == 0 ? header_value : NULL;
}

static bool admitted(const char *name, const char *value)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    header_name = name;
    header_value = value;
    bool fine = cwsd_auth_check(NULL, TOKEN, &fault);
    assert_int_equal(fault.code, fine ? CWS_GRPC_OK : CWS_GRPC_UNAUTHENTICATED);
    if (!fine) {
        assert_null(strstr(fault.message, TOKEN)); /* told to nobody */
        assert_non_null(strstr(fault.message, "set CWSANDBOX_API_KEY"));
    }
    return fine;
}

static void the_token_is_taken(void **state)
{
    (void)state;
    assert_true(admitted("authorization", "Bearer " TOKEN));
    assert_true(admitted("authorization", "bearer " TOKEN));
    assert_true(admitted("x-api-key", TOKEN));
    assert_true(admitted("x-wandb-api-key", TOKEN));
}

static void anything_else_is_not(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "Bearer",
                                        "Bearer ",
                                        TOKEN,
                                        "Basic " TOKEN,
                                        "Bearer " TOKEN "x",
                                        "Bearer a-token-012345678",
                                        "Bearer  " TOKEN,
                                        "Bearer x-token-0123456789",
                                        "Bearer " TOKEN TOKEN,
                                        "Bearer A-TOKEN-0123456789"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++)
        if (admitted("authorization", wrong[i]))
            fail_msg("\"%s\"", wrong[i]);
    assert_false(admitted(NULL, NULL));
    assert_false(admitted("x-api-key", ""));
    assert_false(admitted("x-api-key", "Bearer " TOKEN));
    assert_false(admitted("x-other-key", TOKEN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(the_token_is_taken),
        CWSD_TEST(anything_else_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
