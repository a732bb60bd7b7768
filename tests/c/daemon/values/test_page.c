/* cwsandboxd/values/page: sizes and tokens of pages. */
#include "support/daemon_help.h"

#include "values/page.h"

static size_t size_for(int32_t asked)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_page page;
    assert_true(cwsd_page_set_size(&page, asked, &fault));
    return page.size;
}

static void sizes(void **state)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_page page;
    (void)state;
    assert_int_equal(size_for(0), CWSD_DEFAULT_PAGE);
    assert_int_equal(size_for(1), 1);
    assert_int_equal(size_for(CWSD_MAX_PAGE), CWSD_MAX_PAGE);
    assert_int_equal(size_for(CWSD_MAX_PAGE + 1), CWSD_MAX_PAGE);
    assert_int_equal(size_for(INT32_MAX), CWSD_MAX_PAGE);
    assert_false(cwsd_page_set_size(&page, -1, &fault));
    assert_invalid(&fault, "page_size");
    assert_non_null(strstr(fault.message, "-1"));
}

static void tokens_lead_back(void **state)
{
    static const uint64_t numbers[] = {1, 0x123456789abcdef0, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(numbers); i++)
        for (size_t j = 0; j < CWS_ARRAY_LEN(numbers); j++) {
            struct cwsd_fault fault = {.code = CWS_GRPC_OK};
            struct cwsd_page page, next;
            char token[CWSD_PAGE_TOKEN_SIZE];
            assert_true(cwsd_page_set_token(&page, "", numbers[j], &fault));
            assert_int_equal(page.after, 0);
            cwsd_page_token(&page, numbers[i], token);
            assert_true(cwsd_page_set_token(&next, token, numbers[j], &fault));
            assert_true(next.after == numbers[i] && next.filters == numbers[j]);
        }
}

static void a_token_of_another_list(void **state)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cwsd_page page = {.filters = 7};
    char token[CWSD_PAGE_TOKEN_SIZE];
    (void)state;
    cwsd_page_token(&page, 3, token);
    assert_false(cwsd_page_set_token(&page, token, 8, &fault));
    assert_invalid(&fault, "page_token");
    assert_non_null(strstr(fault.message, "filters"));
}

/* Also what sscanf would take for numbers. */
static void what_is_no_token(void **state)
{
    static const char *const texts[] = {
        "x",
        "0000000000000001000000000000000",   /* too short */
        "000000000000000100000000000000000", /* too long */
        "000000000000000G0000000000000000",
        "000000000000000A0000000000000000",
        "0x000000000000010000000000000000",
        "              010000000000000000",
        "-0000000000000010000000000000000",
        "0000000000000001 000000000000000",
    };
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        struct cwsd_fault fault = {.code = CWS_GRPC_OK};
        struct cwsd_page page;
        assert_false(cwsd_page_set_token(&page, texts[i], 0, &fault));
        assert_invalid(&fault, "page_token");
        assert_non_null(strstr(fault.message, texts[i]));
    }
}

static const struct CMUnitTest tests[] = {
    CWSD_TEST(sizes),
    CWSD_TEST(tokens_lead_back),
    CWSD_TEST(a_token_of_another_list),
    CWSD_TEST(what_is_no_token),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
