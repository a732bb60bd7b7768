/* base/status: texts, and errors that never outgrow their place. */
#include "support/unit.h"

#include <errno.h>

#include "base/status.h"

static void test_each_status_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int a = CWS_OK; a <= CWS_SYSTEM; a++) {
        assert_true(strlen(cws_status_text((enum cws_status)a)) > 0);
        for (int b = CWS_OK; b < a; b++)
            assert_string_not_equal(cws_status_text((enum cws_status)a),
                                    cws_status_text((enum cws_status)b));
    }
    assert_string_equal(cws_status_text(CWS_OK), "ok");
    assert_string_equal(cws_status_text(CWS_NO_MEMORY), "out of memory");
    assert_string_equal(cws_status_text((enum cws_status)(CWS_SYSTEM + 1)), "unknown status");
}

static void test_set_fills_and_returns(void **state)
{
    (void)state;
    struct cws_error err = {0};
    assert_int_equal(cws_error_set(&err, CWS_TLS, "peer %s, depth %d", "example", 3), CWS_TLS);
    assert_int_equal(err.status, CWS_TLS);
    assert_string_equal(err.text, "peer example, depth 3");
    assert_int_equal(cws_error_set(NULL, CWS_IO, "nobody asks"), CWS_IO);
}

static void test_set_errno_appends_the_reason(void **state)
{
    (void)state;
    struct cws_error err = {0};
    assert_int_equal(cws_error_set_errno(&err, CWS_IO, ENOENT, "open '%s'", "/x"), CWS_IO);
    assert_string_equal(err.text, "open '/x': No such file or directory");
    assert_int_equal(cws_error_set_errno(NULL, CWS_SYSTEM, ENOENT, "open"), CWS_SYSTEM);
}

static void test_wrap_puts_context_in_front(void **state)
{
    (void)state;
    struct cws_error err = {0};
    cws_error_set(&err, CWS_CONNECT, "connection refused");
    assert_int_equal(cws_error_wrap(&err, "%s:%d", "host", 443), CWS_CONNECT);
    assert_string_equal(err.text, "host:443: connection refused");
    assert_int_equal(cws_error_wrap(&err, "dial"), CWS_CONNECT);
    assert_string_equal(err.text, "dial: host:443: connection refused");
    assert_int_equal(cws_error_wrap(NULL, "context"), CWS_OK);
}

/* However long the parts are, the text stays terminated and inside its array. */
static void test_long_texts_are_cut(void **state)
{
    (void)state;
    struct {
        struct cws_error err;
        char behind;
    } s = {.behind = '!'};
    char text[1000];
    for (size_t len = sizeof(s.err.text) - 4; len <= sizeof(s.err.text) + 4; len++) {
        memset(text, 'a', len);
        text[len] = '\0';
        size_t most = sizeof(s.err.text) - 1;
        cws_error_set(&s.err, CWS_INVALID, "%s", text);
        assert_int_equal(strlen(s.err.text), len < most ? len : most);
        cws_error_set_errno(&s.err, CWS_INVALID, EPERM, "%s", text);
        assert_int_equal(strlen(s.err.text), most);
        cws_error_set(&s.err, CWS_INVALID, "inner");
        cws_error_wrap(&s.err, "%s", text);
        assert_int_equal(strlen(s.err.text), most);
        cws_error_set(&s.err, CWS_INVALID, "%s", text);
        cws_error_wrap(&s.err, "outer");
        assert_int_equal(strlen(s.err.text), most);
        assert_memory_equal(s.err.text, "outer: a", 8);
    }
    assert_int_equal(s.behind, '!');
}

static void assert_ends(const char *text, const char *end)
{
    size_t len = strlen(text), size = strlen(end);
    if (len < size || strcmp(text + len - size, end) != 0)
        fail_msg("\"%s\" does not end \"%s\"", text, end);
}

/* A path may be long: what is wrong with it comes after it. Two bytes a character, so that half of
 * the places where a text can be cut are inside one. */
static void test_what_is_wrong_is_told_of_long_names(void **state)
{
    (void)state;
    struct cws_error err;
    char path[1001] = "";
    for (size_t len = 0; len + 2 < sizeof(path); len += 2)
        memcpy(path + len, "\xc3\xa9", 3);
    for (size_t skip = 0; skip < 4; skip++) {
        const char *name = path + 2 * skip;
        const char *lead = skip % 2 ? "x" : "";
        cws_error_set(&err, CWS_INVALID, "the path %s%s must be absolute", lead, name);
        assert_ends(err.text, "\xc3\xa9 must be absolute");
        assert_memory_equal(err.text, "the path ", 9);
        assert_non_null(strstr(err.text, "\xa9...\xc3"));
        cws_error_set_errno(&err, CWS_SYSTEM, EROFS, "cannot open %s%s", lead, name);
        assert_ends(err.text, "\xc3\xa9: Read-only file system");
        cws_error_set(&err, CWS_INVALID, "it is cut off");
        cws_error_wrap(&err, "the database %s%s", lead, name);
        assert_ends(err.text, "\xc3\xa9: it is cut off");
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_each_status_has_a_text_of_its_own),
    UNIT_TEST(test_set_fills_and_returns),
    UNIT_TEST(test_set_errno_appends_the_reason),
    UNIT_TEST(test_wrap_puts_context_in_front),
    UNIT_TEST(test_long_texts_are_cut),
    UNIT_TEST(test_what_is_wrong_is_told_of_long_names),
};

UNIT_MAIN(tests)
