/* archive/member: header, content and padding of small files, and which files are left to others.
 * fstat is stood in for, to let a file change between being looked at and being read. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "archive/member.h"

static const int64_t MTIME_MAX = 077777777777;

static struct {
    char folder[32];
    char place[48];
    struct cws_member member;
    off_t changes_to; /* the size that the file has once it was looked at; -1: as it was */
} fixture;

int fstat(int fd, struct stat *found)
{
    int rc = (int)syscall(SYS_newfstatat, fd, "", found, AT_EMPTY_PATH);
    if (fixture.changes_to >= 0)
        assert_int_equal(truncate(fixture.place, fixture.changes_to), 0);
    return rc;
}

static int set_up(void **state)
{
    unit_set_up(state);
    fixture.changes_to = -1;
    strcpy(fixture.folder, "/tmp/cws-member-XXXXXX");
    assert_non_null(mkdtemp(fixture.folder));
    snprintf(fixture.place, sizeof(fixture.place), "%s/file", fixture.folder);
    return 0;
}

static int tear_down(void **state)
{
    unlink(fixture.place);
    assert_int_equal(rmdir(fixture.folder), 0);
    return unit_tear_down(state);
}

static void make_file(size_t size, mode_t mode, int64_t mtime)
{
    int fd = open(fixture.place, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(write(fd, &(uint8_t){(uint8_t)(i % 251 + 1)}, 1), 1);
    assert_int_equal(fchmod(fd, mode), 0);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime, .tv_nsec = 7}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool is_read(const char *name)
{
    memset(&fixture.member, 0xa5, sizeof(fixture.member));
    return cws_member_read(&fixture.member, fixture.place, name, strlen(name));
}

static void test_a_header_is_gnu_tars(void **state)
{
    (void)state;
    make_file(5, 04751, 1234567890);
    assert_true(is_read("folder/name"));

    /* As GNU tar 1.34 writes it with --owner=:0 --group=:0 --numeric-owner. */
    uint8_t expected[2 * CWS_MEMBER_BLOCK] = {0};
    memcpy(expected, "folder/name", 11);
    memcpy(expected + 100, "0004751\0000000000\0000000000", 23);
    memcpy(expected + 124, "00000000005\00011145401322", 23);
    memcpy(expected + 148, "010051\0 0", 9);
    memcpy(expected + 257, "ustar  ", 7);
    memcpy(expected + CWS_MEMBER_BLOCK, "\1\2\3\4\5", 5);
    assert_int_equal(fixture.member.len, sizeof(expected));
    assert_int_equal(fixture.member.file_size, 5);
    assert_memory_equal(fixture.member.data, expected, sizeof(expected));
}

static void test_content_is_padded_to_whole_blocks(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 511, 512, 513, 16383, CWS_MEMBER_FILE_MAX};
    for (size_t at = 0; at < CWS_ARRAY_LEN(sizes); at++) {
        size_t size = sizes[at];
        make_file(size, 0644, 0);
        assert_true(is_read("name"));
        assert_int_equal(fixture.member.file_size, size);
        assert_int_equal(fixture.member.len, 512 + (size + 511) / 512 * 512);
        for (size_t i = 512; i < fixture.member.len; i++)
            assert_int_equal(fixture.member.data[i], i - 512 < size ? (i - 512) % 251 + 1 : 0);
    }
}

static void test_names_and_times_that_a_plain_header_has(void **state)
{
    (void)state;
    char name[CWS_MEMBER_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[CWS_MEMBER_NAME_MAX + 1] = '\0';
    make_file(1, 0644, 1);
    assert_false(is_read(name));
    name[CWS_MEMBER_NAME_MAX] = '\0';
    assert_true(is_read(name));
    assert_memory_equal(fixture.member.data, name, CWS_MEMBER_NAME_MAX);

    static const struct {
        int64_t mtime;
        bool fits;
    } rows[] = {{0, true}, {-1, false}, {MTIME_MAX, true}, {MTIME_MAX + 1, false}};
    for (size_t at = 0; at < CWS_ARRAY_LEN(rows); at++) {
        make_file(1, 0644, rows[at].mtime);
        struct stat found;
        assert_int_equal(stat(fixture.place, &found), 0);
        if (found.st_mtim.tv_sec != rows[at].mtime)
            continue; /* no time of this file system */
        assert_int_equal(is_read("name"), rows[at].fits);
    }
}

static void test_what_is_no_small_file_is_left(void **state)
{
    (void)state;
    assert_false(is_read("name")); /* nothing there */
    make_file(CWS_MEMBER_FILE_MAX + 1, 0644, 0);
    assert_false(is_read("name"));
    unlink(fixture.place);
    assert_int_equal(mkfifo(fixture.place, 0600), 0);
    assert_false(is_read("name"));
    unlink(fixture.place);
    assert_int_equal(symlink("/etc/passwd", fixture.place), 0);
    assert_false(is_read("name"));
    unlink(fixture.place);
    assert_int_equal(mkdir(fixture.place, 0700), 0);
    assert_false(is_read("name"));
    rmdir(fixture.place);
}

static void test_what_changes_meanwhile_is_left(void **state)
{
    (void)state;
    static const struct {
        size_t before;
        off_t after;
    } rows[] = {{0, 1}, {1000, 999}, {1000, 1001}, {1000, 0}, {16384, 16385}, {16384, 100000}};
    for (size_t at = 0; at < CWS_ARRAY_LEN(rows); at++) {
        make_file(rows[at].before, 0644, 0);
        fixture.changes_to = rows[at].after;
        assert_false(is_read("name"));
        fixture.changes_to = -1;
    }
}

#define MEMBER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    MEMBER_TEST(test_a_header_is_gnu_tars),
    MEMBER_TEST(test_content_is_padded_to_whole_blocks),
    MEMBER_TEST(test_names_and_times_that_a_plain_header_has),
    MEMBER_TEST(test_what_is_no_small_file_is_left),
    MEMBER_TEST(test_what_changes_meanwhile_is_left),
};

UNIT_MAIN(tests)
