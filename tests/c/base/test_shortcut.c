/* base/shortcut: which names turn off what. That each is off then:
 * tests/isolated/test_shortcuts.py. */
#include "base/shortcut.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pages.h"
#include "support/unit.h"

static const unsigned guest = 1u << CWS_SHORTCUT_GUEST;
static const unsigned text = 1u << CWS_SHORTCUT_TEXT;
static const unsigned pages = 1u << CWS_SHORTCUT_PAGES;

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(cws_shortcut_parse("guest"), guest);
    assert_int_equal(cws_shortcut_parse("text"), text);
    assert_int_equal(cws_shortcut_parse("pages"), pages);
    assert_int_equal(cws_shortcut_parse("pages,guest"), pages | guest);
    assert_int_equal(cws_shortcut_parse("all"), pages | guest | text);
}

static void test_what_is_no_name(void **state)
{
    (void)state;
    assert_int_equal(cws_shortcut_parse(NULL), 0);
    assert_int_equal(cws_shortcut_parse(""), 0);
    assert_int_equal(cws_shortcut_parse("guests,tex,,ALL"), 0);
    assert_int_equal(cws_shortcut_parse(",none,text,"), text);
}

/* In a process of its own, as the variable is read once. */
static void test_without_pages_nothing_is_given(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        setenv("CWSANDBOX_NO_SHORTCUTS", "pages", 1);
        uint8_t *from = cws_pages_new(CWS_PAGE), *to = cws_pages_new(CWS_PAGE);
        bool given =
            !from || !to || cws_pages_give(from, CWS_PAGE, 0, CWS_PAGE, to) == CWS_PAGES_GIVEN;
        _exit(given || !cws_shortcut_is_on(CWS_SHORTCUT_GUEST) ||
              cws_shortcut_is_on(CWS_SHORTCUT_PAGES));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_all_are_on_without_the_variable(void **state)
{
    (void)state;
    assert_true(cws_shortcut_is_on(CWS_SHORTCUT_GUEST));
    assert_true(cws_shortcut_is_on(CWS_SHORTCUT_TEXT));
    assert_true(cws_shortcut_is_on(CWS_SHORTCUT_PAGES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_what_is_no_name),
        cmocka_unit_test(test_without_pages_nothing_is_given),
        cmocka_unit_test(test_all_are_on_without_the_variable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
