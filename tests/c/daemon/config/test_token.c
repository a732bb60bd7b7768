/* cwsandboxd/config/token: the file is made once, and what is no token is refused. */
#include "support/daemon_help.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "config/token.h"

static char folder[64], file[96];

static int set_up(void **state)
{
    strcpy(folder, "/tmp/cws-token-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof(file), "%s/token", folder);
    return live_before(state);
}

static int tear_down(void **state)
{
    unlink(file);
    return rmdir(folder) == 0 ? nothing_leaked(state) : -1;
}

static void put(const char *content, size_t len)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    close(fd);
}

static void assert_loads(const char *content, const char *token)
{
    char loaded[CWSD_TOKEN_SIZE];
    struct cws_error err;
    bool made = true;
    put(content, strlen(content));
    if (cwsd_token_load(file, loaded, &made, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(made);
    assert_string_equal(loaded, token);
}

static void assert_refused(const char *content, size_t len, const char *why)
{
    char loaded[CWSD_TOKEN_SIZE];
    struct cws_error err;
    bool made = true;
    put(content, len);
    assert_int_equal(cwsd_token_load(file, loaded, &made, &err), CWS_INVALID);
    assert_false(made);
    assert_non_null(strstr(err.text, file));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void made_once(void **state)
{
    char first[CWSD_TOKEN_SIZE], again[CWSD_TOKEN_SIZE];
    struct cws_error err;
    struct stat found;
    bool made = false;
    (void)state;
    assert_int_equal(cwsd_token_load(file, first, &made, &err), CWS_OK);
    assert_true(made);
    assert_int_equal(strlen(first), 64);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_int_equal(stat(file, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(found.st_size, 65); /* with the end of its line */
    assert_int_equal(cwsd_token_load(file, again, &made, &err), CWS_OK);
    assert_false(made);
    assert_string_equal(first, again);
    unlink(file);
    assert_int_equal(cwsd_token_load(file, again, &made, &err), CWS_OK);
    assert_string_not_equal(first, again);
}

static void what_is_one(void **state)
{
    char longest[CWSD_TOKEN_SIZE + 1] = "", line[CWSD_TOKEN_SIZE + 1] = "";
    (void)state;
    assert_loads("0123456789abcdef", "0123456789abcdef");
    assert_loads("0123456789abcdef\n", "0123456789abcdef");
    assert_loads("!~!~!~!~!~!~!~!~!~!~", "!~!~!~!~!~!~!~!~!~!~");
    memset(longest, 'x', CWSD_TOKEN_SIZE - 1);
    assert_loads(longest, longest);
    snprintf(line, sizeof(line), "%.*s\n", CWSD_TOKEN_SIZE - 1, longest);
    assert_loads(line, longest);
}

static void what_is_none(void **state)
{
    char endless[3 * CWSD_TOKEN_SIZE];
    (void)state;
    memset(endless, 'x', sizeof(endless));
    assert_refused("", 0, "has 0 characters; it needs at least 16");
    assert_refused("\n", 1, "has 0 characters");
    assert_refused("0123456789abcde\n", 16, "has 15 characters");
    assert_refused("0123456789abcdef\n\n", 18, "printable ASCII without blanks, on one line");
    assert_refused("0123456789abcdef\r\n", 18, "printable ASCII");
    assert_refused("0123456789 abcdef", 17, "printable ASCII");
    assert_refused("0123456789abcdef\x7f", 17, "printable ASCII");
    assert_refused("0123456789abcdef\xc3\xa9", 18, "printable ASCII");
    assert_refused("0123456789abcdef\0x", 18, "must not contain NUL");
    assert_refused(endless, CWSD_TOKEN_SIZE, "more than 1024 characters");
    assert_refused(endless, sizeof(endless), "more than 1024 characters");
}

static void what_others_may_read(void **state)
{
    (void)state;
    put("0123456789abcdef", 16);
    assert_int_equal(chmod(file, 0640), 0);
    char loaded[CWSD_TOKEN_SIZE];
    struct cws_error err;
    bool made;
    assert_int_equal(cwsd_token_load(file, loaded, &made, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "the token file"));
    assert_non_null(strstr(err.text, file));
}

/* None of them is waited for or taken for a token. */
static void what_is_no_file(void **state)
{
    char loaded[CWSD_TOKEN_SIZE], deeper[120];
    struct cws_error err;
    bool made;
    (void)state;
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_int_equal(cwsd_token_load(file, loaded, &made, &err), CWS_INVALID);
    unlink(file);
    assert_int_equal(symlink("/nowhere/at/all", file), 0);
    assert_int_equal(cwsd_token_load(file, loaded, &made, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, file));
    unlink(file);
    assert_int_equal(cwsd_token_load(folder, loaded, &made, &err), CWS_INVALID);
    snprintf(deeper, sizeof(deeper), "%s/none/token", folder);
    assert_int_equal(cwsd_token_load(deeper, loaded, &made, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, deeper));
}

#define TOKEN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TOKEN_TEST(made_once),       TOKEN_TEST(what_is_one),          TOKEN_TEST(what_is_none),
    TOKEN_TEST(what_is_no_file), TOKEN_TEST(what_others_may_read),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
