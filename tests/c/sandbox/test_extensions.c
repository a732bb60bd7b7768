/* sandbox/extensions: what a header's value names. */
#include "support/unit.h"

#include "sandbox/extensions.h"

static unsigned parse(const char *value)
{
    return cws_extensions_parse(value, strlen(value));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const with[] = {"cwd",       "cwd,later", "later,cwd", "a,\tcwd ,b",
                                       " , ,cwd,,", "cwd,cwd",   "later cwd"};
    static const char *const without[] = {"",    ",",    " ",    "cw",    "cwdx",  "xcwd",
                                          "CWD", "c,wd", "cw d", "cwd=1", "later", "later,"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(with); i++)
        if (parse(with[i]) != CWS_EXTENSION_CWD)
            fail_msg("\"%s\"", with[i]);
    for (size_t i = 0; i < CWS_ARRAY_LEN(without); i++)
        if (parse(without[i]) != 0)
            fail_msg("\"%s\"", without[i]);
    assert_int_equal(cws_extensions_parse("cwd,more", 2), 0);
    assert_int_equal(cws_extensions_parse("cwdmore", 3), CWS_EXTENSION_CWD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
