/* config/whole_file: a file is whole or not there, and on the disk once it is. */
#include "support/own_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "config/whole_file.h"

#define CONTENT "the content\n"

/* What has been synchronized, in order: 'F' the file, 'D' its directory, each with whether the
 * file had its name by then. */
static char syncs[8];
static int sync_error;
static char path[128];

/* In place of the C library's. */
int fsync(int fd)
{
    struct stat info;
    size_t at = strlen(syncs);
    assert_int_equal(fstat(fd, &info), 0);
    assert_true(at + 2 < sizeof(syncs));
    syncs[at] = S_ISDIR(info.st_mode) ? 'D' : 'F';
    syncs[at + 1] = access(path, F_OK) == 0 ? '+' : '-';
    if (sync_error) {
        errno = sync_error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static int set_up(void **state)
{
    int rc = own_folder_make(state);
    snprintf(path, sizeof(path), "%s/file", own_folder);
    memset(syncs, 0, sizeof(syncs));
    sync_error = 0;
    return rc;
}

static void assert_empty(void)
{
    assert_int_equal(rmdir(own_folder), 0); /* there is not even a temporary file */
    assert_int_equal(mkdir(own_folder, 0700), 0);
}

static void assert_holds(const char *content)
{
    char found[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, found, sizeof(found) - 1), strlen(content));
    close(fd);
    assert_string_equal(found, content);
}

static void it_is_on_the_disk_before_it_has_its_name(void **state)
{
    struct stat info;
    (void)state;
    assert_int_equal(cwsd_whole_file_make(AT_FDCWD, path, 0640, CONTENT, strlen(CONTENT)), 0);
    assert_string_equal(syncs, "F-D+");
    assert_holds(CONTENT);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(unlink(path), 0);
    assert_empty();
}

static void below_an_open_directory(void **state)
{
    (void)state;
    int dir = open(own_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    assert_int_equal(cwsd_whole_file_make(dir, "file", 0600, CONTENT, strlen(CONTENT)), 0);
    assert_string_equal(syncs, "F-D+");
    assert_holds(CONTENT);
    close(dir);
}

static void what_is_there_stays(void **state)
{
    (void)state;
    assert_int_equal(cwsd_whole_file_make(AT_FDCWD, path, 0600, CONTENT, strlen(CONTENT)), 0);
    assert_int_equal(cwsd_whole_file_make(AT_FDCWD, path, 0600, "other", 5), EEXIST);
    assert_holds(CONTENT);
    assert_int_equal(unlink(path), 0);
    assert_empty();
}

static void a_disk_that_fails_leaves_none(void **state)
{
    (void)state;
    sync_error = EIO;
    assert_int_equal(cwsd_whole_file_make(AT_FDCWD, path, 0600, CONTENT, strlen(CONTENT)), EIO);
    assert_empty();
}

/* The limit stands for a full disk: part of the content can still be written. */
static void a_full_disk_leaves_none(void **state)
{
    struct rlimit before, less;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    less = before;
    less.rlim_cur = 3;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    int error = cwsd_whole_file_make(AT_FDCWD, path, 0600, CONTENT, strlen(CONTENT));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(error, ENOSPC);
    assert_empty();
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, own_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(it_is_on_the_disk_before_it_has_its_name),
        FILE_TEST(below_an_open_directory),
        FILE_TEST(what_is_there_stays),
        FILE_TEST(a_disk_that_fails_leaves_none),
        FILE_TEST(a_full_disk_leaves_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
