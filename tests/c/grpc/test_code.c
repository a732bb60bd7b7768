/* grpc/code: the tables, against the numbers of the gRPC documents. */
#include "support/unit.h"

#include "grpc/code.h"

static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    for (int code = 0; code < (int)CWS_ARRAY_LEN(names); code++)
        assert_string_equal(cws_grpc_code_name(code), names[code]);
    assert_string_equal(cws_grpc_code_name(17), "UNKNOWN");
    assert_string_equal(cws_grpc_code_name(-1), "UNKNOWN");
    assert_string_equal(cws_grpc_code_name(INT32_MAX), "UNKNOWN");
    assert_string_equal(cws_grpc_code_name(INT32_MIN), "UNKNOWN");
}

static void test_from_http(void **state)
{
    (void)state;
    static const struct {
        int http;
        enum cws_grpc_code code;
    } rows[] = {
        {400, CWS_GRPC_INTERNAL},
        {401, CWS_GRPC_UNAUTHENTICATED},
        {403, CWS_GRPC_PERMISSION_DENIED},
        {404, CWS_GRPC_UNIMPLEMENTED},
        {429, CWS_GRPC_UNAVAILABLE},
        {502, CWS_GRPC_UNAVAILABLE},
        {503, CWS_GRPC_UNAVAILABLE},
        {504, CWS_GRPC_UNAVAILABLE},
        {500, CWS_GRPC_UNKNOWN},
        {302, CWS_GRPC_UNKNOWN},
        {0, CWS_GRPC_UNKNOWN},
        {-1, CWS_GRPC_UNKNOWN},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        assert_int_equal(cws_grpc_code_from_http(rows[i].http), rows[i].code);
}

static void test_from_h2(void **state)
{
    (void)state;
    static const struct {
        uint32_t h2;
        enum cws_grpc_code code;
    } rows[] = {
        {0x0, CWS_GRPC_INTERNAL},          {0x1, CWS_GRPC_INTERNAL},
        {0x2, CWS_GRPC_INTERNAL},          {0x3, CWS_GRPC_INTERNAL},
        {0x6, CWS_GRPC_INTERNAL},          {0x7, CWS_GRPC_UNAVAILABLE},
        {0x8, CWS_GRPC_CANCELLED},         {0x9, CWS_GRPC_INTERNAL},
        {0xa, CWS_GRPC_INTERNAL},          {0xb, CWS_GRPC_RESOURCE_EXHAUSTED},
        {0xc, CWS_GRPC_PERMISSION_DENIED}, {0xdeadbeef, CWS_GRPC_INTERNAL},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        assert_int_equal(cws_grpc_code_from_h2(rows[i].h2), rows[i].code);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_names),
    UNIT_TEST(test_from_http),
    UNIT_TEST(test_from_h2),
};

UNIT_MAIN(tests)
