/* store/claims: what a sandbox puts in the place of a directory while a sub-path is being opened.
 * Each moment between two system calls is tried. */
#include "support/claims_world.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SUB_PATH "a/b/c"

/* The hostile sandbox: `this` and `that` in the volume change places before the calls with these
 * two numbers. */
static struct {
    int volume; /* -1: it sleeps */
    const char *this, *that;
    unsigned calls, first, second;
} hostile = {.volume = -1};

static void swap(void)
{
    assert_int_equal(
        renameat2(hostile.volume, hostile.this, hostile.volume, hostile.that, RENAME_EXCHANGE), 0);
}

static void before_call(void)
{
    if (hostile.volume < 0)
        return;
    if (hostile.calls == hostile.first || hostile.calls == hostile.second)
        swap();
    hostile.calls++;
}

/* In place of libc's. */
int openat(int dir, const char *name, int flags, ...)
{
    before_call();
    return (int)syscall(SYS_openat, dir, name, flags, 0600);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    before_call();
    return (int)syscall(SYS_mkdirat, dir, name, mode);
}

static int open_mine(const char *sub_path)
{
    struct cwsd_fault fault;
    int fd = open_claim("a", "mine", sub_path, &fault);
    assert_int_equal(fd < 0, fault.code == CWS_GRPC_FAILED_PRECONDITION);
    return fd;
}

static bool is_there(int dir, const char *name)
{
    struct stat info;
    return fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Every pair of moments, and a single one. Returns how often the directory was given out. */
static unsigned open_while_swapping(int volume, const char *this, const char *that)
{
    unsigned opened = 0, last = 0;
    hostile.this = this;
    hostile.that = that;
    for (unsigned first = 0; first <= last; first++)
        for (unsigned second = first; second <= last; second++) {
            hostile.volume = volume;
            hostile.calls = 0;
            hostile.first = first;
            hostile.second = second;
            int fd = open_mine(SUB_PATH);
            unsigned swaps = (hostile.calls > first) + (second > first && hostile.calls > second);
            last = hostile.calls > last ? hostile.calls : last;
            hostile.volume = -1;
            if (fd >= 0)
                assert_true(is_there(fd, "inside"));
            opened += fd >= 0;
            if (fd >= 0)
                close(fd);
            hostile.volume = volume;
            if (swaps % 2)
                swap();
            hostile.volume = -1;
        }
    assert_true(last > 6); /* each part is looked for and opened */
    return opened;
}

/* A directory like that in the volume, where no sandbox may come. */
static void make_outside(char path[96])
{
    char name[128];
    snprintf(path, 96, "%s/outside", claims_folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (const char *part = "/b\0/b/c\0/c\0"; *part; part += strlen(part) + 1) {
        snprintf(name, sizeof(name), "%s%s", path, part);
        assert_int_equal(mkdir(name, 0700), 0);
    }
}

static int count_names(const char *path)
{
    int names = 0;
    DIR *open = opendir(path);
    assert_non_null(open);
    while (readdir(open))
        names++;
    closedir(open);
    return names - 2; /* "." and ".." */
}

static void assert_untouched(const char *outside)
{
    static const struct {
        const char *part;
        int names;
    } known[] = {{"", 2}, {"/b", 1}, {"/b/c", 0}, {"/c", 0}};
    char name[128];
    for (size_t i = 0; i < CWS_ARRAY_LEN(known); i++) {
        snprintf(name, sizeof(name), "%s%s", outside, known[i].part);
        assert_int_equal(count_names(name), known[i].names);
    }
}

static void test_a_link_in_the_place_of_each_part(void **state)
{
    (void)state;
    static const struct {
        const char *this, *that;
    } places[] = {{"a", "link"}, {"a/b", "link"}, {"a/b/c", "link"}, {"a/b", "a/link"}};
    char outside[96];
    make_outside(outside);
    int volume = open_mine("");
    int inside = open_mine(SUB_PATH);
    assert_true(volume >= 0 && inside >= 0);
    assert_int_equal(mknodat(inside, "inside", S_IFREG | 0600, 0), 0);
    assert_int_equal(symlinkat(outside, volume, "link"), 0);
    assert_int_equal(symlinkat("../../../../outside", volume, "a/link"), 0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(places); i++) {
        unsigned opened = open_while_swapping(volume, places[i].this, places[i].that);
        assert_true(opened > 0); /* as when the link was gone in time, or came too late */
        assert_untouched(outside);
    }
    close(inside);
    close(volume);
}

/* What was on the way when it was moved is still in the volume. */
static void test_a_directory_in_the_place_of_another(void **state)
{
    (void)state;
    int volume = open_mine("");
    int inside = open_mine(SUB_PATH), other = open_mine("other/b/c");
    assert_true(volume >= 0 && inside >= 0 && other >= 0);
    if (!is_there(inside, "inside"))
        assert_int_equal(mknodat(inside, "inside", S_IFREG | 0600, 0), 0);
    assert_int_equal(mknodat(other, "inside", S_IFREG | 0600, 0), 0);
    assert_true(open_while_swapping(volume, "a", "other") > 0);
    assert_true(open_while_swapping(volume, "a/b", "other/b") > 0);
    close(other);
    close(inside);
    close(volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_in_the_place_of_each_part),
        cmocka_unit_test(test_a_directory_in_the_place_of_another),
    };
    return cmocka_run_group_tests(tests, claims_set_up, claims_tear_down);
}
