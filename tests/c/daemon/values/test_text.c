/* cwsandboxd/values/text: what is UTF-8, and how text from outside is shown. */
#include "support/daemon_help.h"

#include "values/text.h"

static size_t char_of(const char *text)
{
    return cwsd_text_char((const uint8_t *)text, strlen(text));
}

static void the_first_character(void **state)
{
    (void)state;
    assert_int_equal(char_of("ab"), 1);
    assert_int_equal(cwsd_text_char((const uint8_t *)"\0", 1), 1);
    /* The first and the last of each length, and those beside the surrogates. */
    static const char *const whole[] = {"\x7f",         "\xc2\x80",         "\xdf\xbf",
                                        "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
                                        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(whole); i++)
        assert_int_equal(char_of(whole[i]), strlen(whole[i]));
}

static void what_is_none(void **state)
{
    static const char *const broken[] = {
        "\x80",
        "\xbf", /* the middle of one */
        "\xc0\xaf",
        "\xc1\xbf", /* overlong forms */
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf", /* likewise */
        "\xed\xa0\x80",
        "\xed\xbf\xbf", /* surrogates */
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", /* beyond U+10FFFF */
        "\xc2 ",
        "\xe2\x82 ",
        "\xf0\x9f\x98 ",
        "\xff",
        "\xfe",
    };
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(broken); i++)
        assert_int_equal(char_of(broken[i]), 0);
}

/* No byte beyond the end is looked at: the copy has exactly the bytes it is asked about. */
static void one_that_is_cut_off(void **state)
{
    static const char *const whole[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(whole); i++)
        for (size_t len = 1; len < strlen(whole[i]); len++) {
            uint8_t *bytes = test_malloc(len);
            memcpy(bytes, whole[i], len);
            assert_int_equal(cwsd_text_char(bytes, len), 0);
            assert_false(cwsd_text_is_utf8(bytes, len));
            test_free(bytes);
        }
}

static void whole_texts(void **state)
{
    (void)state;
    assert_true(cwsd_text_is_utf8((const uint8_t *)"", 0));
    assert_true(cwsd_text_is_utf8((const uint8_t *)"a\0\xc3\xa9", 4));
    assert_false(cwsd_text_is_utf8((const uint8_t *)"ab\xff", 3));
}

static void assert_cleaned(const char *text, const char *cleaned)
{
    char copy[200];
    snprintf(copy, sizeof(copy), "%s", text);
    cwsd_text_clean(copy);
    assert_string_equal(copy, cleaned);
}

static void cleaning(void **state)
{
    (void)state;
    assert_cleaned("", "");
    assert_cleaned("plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "plain \xc3\xa9\xe2\x82\xac"
                                                                 "\xf0\x9f\x98\x80");
    assert_cleaned("\x1b[31mred\n\t\x7f", "?[31mred???");
    assert_cleaned("a\xff\xc3", "a??");
    assert_cleaned("\xe2\x82", "??");
}

/* Terminals obey those of two bytes as well: U+009B is "ESC [" in one. */
static void control_characters_of_two_bytes(void **state)
{
    (void)state;
    assert_cleaned("\xc2\x9b\x33\x31mred", "??31mred");
    assert_cleaned("\xc2\x80 \xc2\x85 \xc2\x9f", "?? ?? ??");
    assert_cleaned("\xc2\xa0\xc3\x9b", "\xc2\xa0\xc3\x9b"); /* a blank, and a letter */
}

static void short_texts(void **state)
{
    (void)state;
    char text[200] = "";
    assert_string_equal(cwsd_text_short("").text, "");
    memset(text, 'a', 63);
    assert_string_equal(cwsd_text_short(text).text, text);
    text[63] = 'a';
    char expected[64] = "";
    memset(expected, 'a', 60);
    memcpy(expected + 60, "...", 4);
    assert_string_equal(cwsd_text_short(text).text, expected);
    assert_string_equal(cwsd_text_short("\x1b]0;title\x07").text, "?]0;title?");
}

/* It is never cut within a character, and there is no '?' for that. */
static void long_texts_end_at_a_character(void **state)
{
    (void)state;
    for (size_t before = 0; before < 4; before++) {
        char text[300] = "", expected[64] = "";
        memset(text, 'a', before);
        for (size_t i = 0; i < 60; i++)
            strcat(text, "\xf0\x9f\x98\x80");
        memcpy(expected, text, before + (60 - before) / 4 * 4);
        strcat(expected, "...");
        assert_string_equal(cwsd_text_short(text).text, expected);
    }
}

static void long_texts_of_anything(void **state)
{
    char text[100] = "";
    (void)state;
    memset(text, 0xff, 99);
    struct cwsd_short_text shown = cwsd_text_short(text);
    assert_int_equal(strlen(shown.text), sizeof(shown.text) - 1);
    assert_int_equal(strspn(shown.text, "?"), 60);
    assert_string_equal(shown.text + 60, "...");
}

static void secrets(void **state)
{
    (void)state;
    assert_true(cwsd_text_is_secret("secret", 6, "secret"));
    assert_true(cwsd_text_is_secret("secret, and more", 6, "secret"));
    static const char *const others[] = {"",       "s",      "secre",       "secret ",
                                         "Secret", "secreT", "secretsecret"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++)
        assert_false(cwsd_text_is_secret(others[i], strlen(others[i]), "secret"));
    assert_false(cwsd_text_is_secret("secret\0", 7, "secret"));
    assert_false(cwsd_text_is_secret("aa", 2, "aaaa")); /* not what it begins with, repeated */
    assert_false(cwsd_text_is_secret("x", 1, ""));
}

static const struct CMUnitTest tests[] = {
    CWSD_TEST(the_first_character),
    CWSD_TEST(what_is_none),
    CWSD_TEST(one_that_is_cut_off),
    CWSD_TEST(whole_texts),
    CWSD_TEST(cleaning),
    CWSD_TEST(control_characters_of_two_bytes),
    CWSD_TEST(short_texts),
    CWSD_TEST(long_texts_end_at_a_character),
    CWSD_TEST(long_texts_of_anything),
    CWSD_TEST(secrets),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
