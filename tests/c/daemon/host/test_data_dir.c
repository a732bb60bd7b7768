/* host/data_dir: made for its user alone, had by one daemon at a time. */
#include "support/other_daemon.h"
#include "support/own_folder.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "host/data_dir.h"

static const char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", own_folder, name);
    return path;
}

static void made_and_kept(void **state)
{
    (void)state;
    struct cwsd_data_dir dir;
    struct cws_error err;
    struct stat info;
    assert_int_equal(cwsd_data_dir_open(in_root("a/data"), &dir, &err), CWS_OK);
    assert_string_equal(dir.path, in_root("a/data"));
    assert_int_equal(stat(in_root("a/data"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    cwsd_data_dir_close(&dir);
    assert_int_equal(stat(in_root("a/data"), &info), 0);
    cwsd_data_dir_close(&dir); /* harmless */
}

static bool take(const char *path)
{
    struct cwsd_data_dir dir;
    struct cws_error err;
    return cwsd_data_dir_open(path, &dir, &err) == CWS_OK;
}

/* The kernel releases the lock of a daemon that was killed. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct cwsd_data_dir dir;
    struct cws_error err;
    struct other_daemon other;
    other_daemon_start(&other, take, in_root("data"), false);
    assert_int_equal(cwsd_data_dir_open(in_root("data"), &dir, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "in use by another cwsandboxd"));
    assert_non_null(strstr(err.text, in_root("data")));
    cwsd_data_dir_close(&dir);
    other_daemon_kill(&other);
    assert_int_equal(cwsd_data_dir_open(in_root("data"), &dir, &err), CWS_OK);
    cwsd_data_dir_close(&dir);
}

/* A daemon that is ending is waited for. */
static void the_last_one_is_ending(void **state)
{
    (void)state;
    struct cwsd_data_dir dir;
    struct cws_error err;
    int held[2], begun[2], status;
    char byte;
    assert_int_equal(pipe(held), 0);
    assert_int_equal(pipe(begun), 0);
    pid_t child = fork();
    if (child == 0) {
        bool open = cwsd_data_dir_open(in_root("data"), &dir, &err) == CWS_OK;
        bool told = open && write(held[1], "x", 1) == 1 && read(begun[0], &byte, 1) == 1;
        _exit(!told);
    }
    assert_int_equal(read(held[0], &byte, 1), 1);
    assert_int_equal(write(begun[1], "x", 1), 1);
    assert_int_equal(cwsd_data_dir_open(in_root("data"), &dir, &err), CWS_OK);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    cwsd_data_dir_close(&dir);
    for (int i = 0; i < 2; i++) {
        close(held[i]);
        close(begun[i]);
    }
}

static void killed_while_it_starts_a_program(void **state)
{
    (void)state;
    struct cwsd_data_dir dir;
    struct cws_error err;
    struct other_daemon other;
    other_daemon_start(&other, take, in_root("data"), true);
    other_daemon_kill(&other);
    if (cwsd_data_dir_open(in_root("data"), &dir, &err) != CWS_OK)
        fail_msg("%s", err.text);
    cwsd_data_dir_close(&dir);
}

static void not_for_others(void **state)
{
    (void)state;
    static const mode_t wrong[] = {0755, 0710, 0707, 0770};
    struct cwsd_data_dir dir;
    struct cws_error err;
    assert_int_equal(mkdir(in_root("data"), 0700), 0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++) {
        assert_int_equal(chmod(in_root("data"), wrong[i]), 0);
        assert_int_equal(cwsd_data_dir_open(in_root("data"), &dir, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, "closed to others"));
    }
    assert_int_equal(chmod(in_root("data"), 0700), 0);
    if (geteuid() == 0) { /* else it cannot be given away */
        assert_int_equal(chown(in_root("data"), 12345, 12345), 0);
        assert_int_equal(cwsd_data_dir_open(in_root("data"), &dir, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, "user 12345's"));
    }
}

static void no_directory(void **state)
{
    (void)state;
    struct cwsd_data_dir dir;
    struct cws_error err;
    assert_int_equal(symlink("/tmp", in_root("link")), 0);
    assert_int_equal(cwsd_data_dir_open(in_root("link"), &dir, &err), CWS_SYSTEM);
    assert_int_equal(cwsd_data_dir_open("/dev/null/data", &dir, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "/dev/null/data"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(made_and_kept),          FOLDER_TEST(one_at_a_time),
        FOLDER_TEST(the_last_one_is_ending), FOLDER_TEST(killed_while_it_starts_a_program),
        FOLDER_TEST(not_for_others),         FOLDER_TEST(no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
