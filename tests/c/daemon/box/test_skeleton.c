/* cwsandboxd/skeleton: which of the host's directories a sandbox can write into from the start. */
#include "support/unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box/skeleton.h"

#define UPPER "/upper"

/* Whether one of the steps makes UPPER/up + `path`. */
static bool makes(const struct cwsd_script *script, const char *path)
{
    const uint8_t *at = cws_buf_bytes(&script->steps);
    const uint8_t *end = at + script->steps.len;
    while (at < end) {
        const struct cwsi_step *step = (const struct cwsi_step *)at;
        const char *made = (const char *)(step + 1);
        assert_int_equal(step->op, CWSI_STEP_MKDIR);
        assert_int_equal(step->mode, 0755);
        if (strncmp(made, UPPER "/up", sizeof(UPPER "/up") - 1) == 0 &&
            strcmp(made + sizeof(UPPER "/up") - 1, path) == 0)
            return true;
        at += (sizeof(*step) + step->a_len + 1 + (size_t)step->b_len + 1 + 7) & ~(size_t)7;
    }
    return false;
}

static void test_what_is_there(void **state)
{
    struct cwsd_script script;
    (void)state;
    cwsd_script_init(&script);
    cwsd_skeleton_add(&script, "/usr", UPPER, true);
    assert_int_equal(script.status, CWS_OK);
    assert_true(makes(&script, ""));
    assert_true(makes(&script, "/bin"));
    assert_true(makes(&script, "/lib"));
    assert_false(makes(&script, "/no-such"));
    cwsd_script_done(&script);
}

/* Folders of a test's own below /usr/local, each with whether it is to be made in advance; outer
 * ones first. */
static const struct {
    const char *path;
    bool made;
} folders[] = {
    {"/usr/local/cws-test", true},
    {"/usr/local/cws-test/src", true},
    {"/usr/local/cws-test/src/deep", false},
    {"/usr/local/share/cws-test", true},
    {"/usr/local/share/cws-test/a", true},
    {"/usr/local/share/cws-test/a/b", true},
    {"/usr/local/share/cws-test/.hidden", false},
    {"/usr/local/lib/python3.cws", true},
    {"/usr/local/lib/python3.cws/json", false},
    {"/usr/local/lib/python3.cws/site-packages", true},
    {"/usr/local/lib/python3.cws/site-packages/json", true},
    {"/usr/local/lib/python3.cws/dist-packages", true},
    {"/usr/local/lib/python3.cws/packages", false},
};

static void test_what_is_installed_to(void **state)
{
    struct cwsd_script script;
    bool all_made = true, as_expected[CWS_ARRAY_LEN(folders)];
    (void)state;
    if (access("/usr/local/lib", W_OK) != 0 || access("/usr/local/share", W_OK) != 0)
        skip();
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++)
        all_made = mkdir(folders[i].path, 0755) == 0 && all_made;
    cwsd_script_init(&script);
    cwsd_skeleton_add(&script, "/usr", UPPER, true);
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++)
        as_expected[i] = makes(&script, folders[i].path + strlen("/usr")) == folders[i].made;
    cwsd_script_done(&script);
    for (size_t i = CWS_ARRAY_LEN(folders); i-- > 0;)
        rmdir(folders[i].path);
    assert_true(all_made);
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++)
        if (!as_expected[i])
            fail_msg("%s", folders[i].path);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_what_is_there),
    UNIT_TEST(test_what_is_installed_to),
};

UNIT_MAIN(tests)
