/* host/program: programs that are found on PATH and run to their end. */
#include "support/played_programs.h"

#include "host/program.h"
#include "support/failing.h"

static unsigned before;
static char *machines_path; /* of the machine's programs */

static int set_up(void **state)
{
    if (!machines_path)
        machines_path = strdup(getenv("PATH"));
    before = count_descriptors();
    return own_folder_make(state);
}

static int tear_down(void **state)
{
    assert_int_equal(count_descriptors(), before);
    assert_no_children();
    setenv("PATH", machines_path, 1);
    return own_folder_remove(state);
}

#define PROGRAM_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ---- found ---------------------------------------------------------------------------------- */

static void expect_found(const char *path_of, const char *name, const char *expected)
{
    setenv("PATH", path_of, 1);
    char *found = cwsd_program_find(name);
    if (!expected)
        assert_null(found);
    else if (!found || strcmp(found, expected) != 0)
        fail_msg("%s is %s", name, found ? found : "not found");
    cws_free(found);
}

static void the_first_on_path(void **state)
{
    (void)state;
    char path[400], first[128], second[128];
    assert_int_equal(mkdir(played_path("a"), 0700) | mkdir(played_path("b"), 0700), 0);
    strcpy(first, played_path("a/tool"));
    strcpy(second, played_path("b/tool"));
    played_write("a/tool", "", 0700);
    played_write("b/tool", "", 0700);
    snprintf(path, sizeof(path), "%s/none:%s/a:%s/b", own_folder, own_folder, own_folder);
    expect_found(path, "tool", first);
    assert_int_equal(chmod(first, 0600), 0);
    expect_found(path, "tool", second);
    assert_int_equal(unlink(first) | mkdir(first, 0700), 0); /* that is no program */
    expect_found(path, "tool", second);
    assert_int_equal(unlink(second), 0);
    expect_found(path, "tool", NULL);
}

/* What would depend on where the daemon was started is left out. */
static void odd_paths(void **state)
{
    (void)state;
    char path[6000], there[128];
    strcpy(there, played_path("tool"));
    played_write("tool", "", 0700);
    assert_int_equal(chdir(own_folder), 0);
    expect_found("", "tool", NULL);
    expect_found(".", "tool", NULL);
    expect_found(":::", "tool", NULL);
    snprintf(path, sizeof(path), "::%s:", own_folder);
    expect_found(path, "tool", there);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    snprintf(path + 5000, sizeof(path) - 5000, ":%s", own_folder);
    expect_found(path, "tool", there);
    assert_int_equal(chdir("/"), 0);
    unsetenv("PATH"); /* where programs are is known all the same */
    char *found = cwsd_program_find("sh");
    assert_non_null(found);
    assert_int_equal(access(found, X_OK), 0);
    cws_free(found);
}

static void beside_another(void **state)
{
    static const char *const cases[][2] = {
        {"/a/b/daemon", "/a/b/tool"}, {"/daemon", "/tool"}, {"daemon", "tool"}, {"", "tool"}};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        char *beside = cwsd_program_beside(cases[i][0], "tool");
        assert_string_equal(beside, cases[i][1]);
        cws_free(beside);
    }
    cws_alloc_fail_at(1);
    assert_null(cwsd_program_beside("/a/b", "tool"));
    cws_alloc_fail_at(0);
}

/* ---- run ------------------------------------------------------------------------------------ */

static enum cws_status run(const char *script, const char *input, struct cws_error *err)
{
    char *argv[] = {played_program("tool", script), (char *)"one", (char *)"two words", NULL};
    return cwsd_program_run(argv, input, err);
}

static void with_input_and_without_environment(void **state)
{
    (void)state;
    struct cws_error err;
    setenv("SECRET", "hidden", 1);
    assert_int_equal(
        run("echo out; { cat; printf %s \"${SECRET-none}\"; } > \"$0.in\"", "some input ", &err),
        CWS_OK);
    assert_string_equal(played_read("tool.in"), "some input none");
    assert_string_equal(played_read("tool.runs"), "one two words\n");
    assert_int_equal(run(PLAYED_READS, NULL, &err), CWS_OK);
    assert_string_equal(played_read("tool.in"), "");
}

static void expect_failure(const char *script, const char *text)
{
    struct cws_error err;
    assert_int_equal(run(script, NULL, &err), CWS_SYSTEM);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void that_fail(void **state)
{
    (void)state;
    struct cws_error err;
    expect_failure("echo 'no such table' >&2; echo more >&2; exit 1",
                   "tool has failed: no such table");
    expect_failure("printf 'bad \\033[2J\\377' >&2; exit 1", "has failed: bad ?[2J");
    expect_failure("exit 7", "has failed: it ended with exit code 7");
    expect_failure("kill -15 $$", "has failed: it was killed by signal 15");
    assert_int_equal(run("echo only a warning >&2", NULL, &err), CWS_OK);
}

/* Nobody reads while it runs: it gets no further than the pipe, and does not stand still. */
static void that_say_too_much(void **state)
{
    (void)state;
    expect_failure("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1", "has failed: xxxxx");
}

static void that_cannot_be_started(void **state)
{
    (void)state;
    struct cws_error err;
    char *argv[] = {(char *)"/nowhere/tool", NULL};
    assert_int_equal(cwsd_program_run(argv, NULL, &err), CWS_SYSTEM);
    assert_string_equal(err.text, "/nowhere/tool cannot be started: No such file or directory");
    argv[0] = own_folder;
    assert_int_equal(cwsd_program_run(argv, "input", &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "Permission denied"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM_TEST(the_first_on_path),
        PROGRAM_TEST(odd_paths),
        PROGRAM_TEST(beside_another),
        PROGRAM_TEST(with_input_and_without_environment),
        PROGRAM_TEST(that_fail),
        PROGRAM_TEST(that_say_too_much),
        PROGRAM_TEST(that_cannot_be_started),
    };
    return cmocka_run_group_tests(tests, played_programs_begin, NULL);
}
