/* config/private: what nobody else may get at. */
#include "support/daemon_help.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "config/private.h"

static char folder[64], file[96];

static int set_up(void **state)
{
    strcpy(folder, "/tmp/cws-private-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof(file), "%s/file", folder);
    close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return live_before(state);
}

static int tear_down(void **state)
{
    return unlink(file) == 0 && rmdir(folder) == 0 ? nothing_leaked(state) : -1;
}

static enum cws_status check(const char *path, mode_t kind, struct cws_error *err)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    enum cws_status status = cwsd_private_check(fd, kind, path, err);
    close(fd);
    return status;
}

static void closed_to_everybody_else(void **state)
{
    (void)state;
    const mode_t good[] = {0600, 0400, 0700, 0000};
    struct cws_error err;
    for (size_t i = 0; i < CWS_ARRAY_LEN(good); i++) {
        assert_int_equal(chmod(file, good[i]), 0);
        assert_int_equal(check(file, S_IFREG, &err), CWS_OK);
    }
    assert_int_equal(check(folder, S_IFDIR, &err), CWS_OK);
}

/* Each of the six bits alone, with the file's name and its mode in the error. */
static void open_to_somebody(void **state)
{
    (void)state;
    struct cws_error err;
    char mode[32];
    for (mode_t bit = 01; bit <= 040; bit <<= 1) {
        snprintf(mode, sizeof(mode), "not 0%o", 0600 | bit);
        assert_int_equal(chmod(file, 0600 | bit), 0);
        assert_int_equal(check(file, S_IFREG, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, file));
        assert_non_null(strstr(err.text, mode));
        assert_int_equal(chmod(folder, 0700 | bit), 0);
        assert_int_equal(check(folder, S_IFDIR, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, "0700"));
    }
}

static void of_another_user(void **state)
{
    (void)state;
    struct cws_error err;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(file, 1, (gid_t)-1), 0);
    assert_int_equal(check(file, S_IFREG, &err), CWS_INVALID);
}

static void of_another_kind(void **state)
{
    (void)state;
    struct cws_error err;
    assert_int_equal(check(folder, S_IFREG, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "is not a regular file"));
    assert_int_equal(check(file, S_IFDIR, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "is not a directory"));
}

static void what_cannot_be_looked_at(void **state)
{
    (void)state;
    struct cws_error err;
    assert_int_equal(cwsd_private_check(-1, S_IFREG, "nothing", &err), CWS_SYSTEM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(closed_to_everybody_else), TEST(open_to_somebody),         TEST(of_another_user),
        TEST(of_another_kind),          TEST(what_cannot_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
