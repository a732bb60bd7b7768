/* cwsandbox-egress/names: what a host name is, and which are granted. */
#include "support/unit.h"

#include "cwsandbox-egress/names.h"

static bool reads(const char *text, const char *expected)
{
    char name[CWSE_NAME_SIZE];
    bool is_name = cwse_name_read(text, strlen(text), name);
    if (is_name)
        assert_string_equal(name, expected);
    return is_name;
}

static void names(void **state)
{
    (void)state;
    assert_true(reads("a", "a"));
    assert_true(reads("Example.ORG", "example.org"));
    assert_true(reads("example.org.", "example.org"));
    assert_true(reads("my_bucket.s3-x.example.org", "my_bucket.s3-x.example.org"));
    assert_true(reads("3com.example", "3com.example"));
}

static void others(void **state)
{
    static const char *const texts[] = {
        "",           ".",   "..",           ".a",    "a..b",  "a..",       "a b",       "a/b",
        "a:443",      "*.a", "\xc3\xbc.org", "a\\.b", "[::1]", "10.0.0.1",  "127.0.0.1", "127.1",
        "2130706433", "a.1", "a\nb.c",       "::1",   "a%.b",  "a.b.c.d,e",
    };
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++)
        assert_false(reads(texts[i], ""));
    char name[CWSE_NAME_SIZE];
    assert_false(cwse_name_read("example.org\0.evil.org", 21, name));
}

static void lengths(void **state)
{
    char text[300], name[CWSE_NAME_SIZE];
    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(cwse_name_read(text, 63, name));
    assert_false(cwse_name_read(text, 64, name));
    for (size_t i = 63; i < sizeof(text); i += 64)
        text[i] = '.';
    assert_true(cwse_name_read(text, 253, name));
    assert_int_equal(strlen(name), 253);
    assert_false(cwse_name_read(text, 254, name));
    text[253] = '.';
    assert_true(cwse_name_read(text, 254, name));
}

static void granted(void **state)
{
    char exact[] = "example.org", wildcard[] = "*.wild.net";
    char *list[] = {exact, wildcard};
    const struct cwse_grants grants = {list, CWS_ARRAY_LEN(list)};
    (void)state;
    assert_true(cwse_grants_have(&grants, "example.org"));
    assert_true(cwse_grants_have(&grants, "a.wild.net"));
    assert_true(cwse_grants_have(&grants, "a.b.wild.net"));
    assert_false(cwse_grants_have(&grants, "a.example.org"));
    assert_false(cwse_grants_have(&grants, "xexample.org"));
    assert_false(cwse_grants_have(&grants, "example.org.evil.com"));
    assert_false(cwse_grants_have(&grants, "wild.net"));
    assert_false(cwse_grants_have(&grants, "awild.net"));
    assert_false(cwse_grants_have(&grants, "a.wild.net.evil.com"));
    assert_false(cwse_grants_have(&grants, ""));
    assert_false(cwse_grants_have(&(struct cwse_grants){NULL, 0}, "example.org"));
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(names),
    UNIT_TEST(others),
    UNIT_TEST(lengths),
    UNIT_TEST(granted),
};

UNIT_MAIN(tests)
