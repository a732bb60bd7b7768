/* cwsandbox-init/volume: the directory of a volume, and where links lead on the way to a place.
 * What others do meanwhile is in test_volume_moved. */
#include "support/stepped.h"

#include <fcntl.h>
#include <limits.h>

#include "cwsandbox-init/init.h"

static char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s%s", stepped_root, name);
    return path;
}

static void make_link(const char *name, const char *target)
{
    assert_int_equal(symlink(target, in_root(name)), 0);
}

/* "data" is mounted at "vol", with links of a hostile sandbox. */
static int make_world(void **state)
{
    static const char *const folders[] = {"/data", "/data/a", "/outside", "/vol", "/far"};
    if (stepped_set_up(state))
        return -1;
    umask(0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++)
        assert_int_equal(mkdir(in_root(folders[i]), 0777), 0);
    assert_int_equal(mknod(in_root("/outside/file"), S_IFREG | 0644, 0), 0);
    make_link("/data/hostile", "/outside");
    make_link("/data/up", "../outside");
    make_link("/plain", "outside");
    make_link("/rooted", "/outside");
    make_link("/far/chain", "../rooted");
    make_link("/circle", "far/../circle");
    make_link("/into", "vol/a");
    make_link("/through", "/vol/hostile");
    make_link("/over", "vol/up/there");
    make_link("/last", "through");
    make_link("/long", "outside/././.");
    make_link("/nowhere", "far/new/deep");
    make_link("/to-proc", "proc/sys/fs");
    make_link("/to-file", "outside/file");
    make_link("/to-new-file", "far/new-file");
    return 0;
}

/* ---- what a child does ---------------------------------------------------------------------- */

static void mount_data(void)
{
    char source[] = "/data";
    long rc = volume_mount("/vol", source, false);
    stepped_expect(rc == 0, "mounting the volume", rc);
}

/* Where the place is, or why there is none. */
static void expect_place(const char *path, uint32_t mode, const char *real, long error)
{
    char link[64], found[PATH_MAX] = "";
    long fd = volume_open_place(path, mode);
    if (fd >= 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
        stepped_expect(readlink(link, found, sizeof(found) - 1) > 0, "its path", errno);
        close((int)fd);
    }
    stepped_expect(fd >= 0 ? real && strcmp(found, real) == 0 : fd == error, path, fd);
}

#define IS_FOLDER(path, real)   expect_place(path, S_IFDIR | 0755, real, 0)
#define IS_FILE(path, real)     expect_place(path, S_IFREG | 0644, real, 0)
#define IS_REFUSED(path, error) expect_place(path, S_IFDIR | 0755, NULL, -(error))
#define IS_NO_FILE(path, error) expect_place(path, S_IFREG | 0644, NULL, -(error))

/* ---- links ---------------------------------------------------------------------------------- */

static void follow_links(void)
{
    mount_data();
    IS_FOLDER("/plain", "/outside");
    IS_FOLDER("/plain/new", "/outside/new");
    IS_FOLDER("/rooted/", "/outside");
    IS_FOLDER("//far//chain/./new", "/outside/new");
    IS_FOLDER("/far/../far/chain", "/outside");
    IS_FOLDER("/into/new", "/vol/a/new");
    IS_FOLDER("/nowhere/more", "/far/new/deep/more");
    IS_FILE("/to-file", "/outside/file");
    IS_FILE("/to-new-file", "/far/new-file");
    rmdir("/outside/new");
}

static void test_links_of_the_sandbox_itself(void **state)
{
    (void)state;
    stepped_alone(follow_links);
}

/* Also those to which a link of the sandbox's own leads. */
static void meet_hostile_links(void)
{
    mount_data();
    IS_REFUSED("/vol/hostile", ELOOP);
    IS_REFUSED("/vol/hostile/new", ELOOP);
    IS_REFUSED("/vol/up/new", ELOOP);
    IS_REFUSED("/through", ELOOP);
    IS_REFUSED("/through/new", ELOOP);
    IS_REFUSED("/over/new", ELOOP);
    IS_REFUSED("/last/new", ELOOP);
    IS_NO_FILE("/through/file", ELOOP);
    IS_NO_FILE("/last/new", ELOOP);
    stepped_expect(access("/outside/new", F_OK) < 0 && access("/outside/there", F_OK) < 0,
                   "something was made outside", 0);
}

static void test_links_of_a_volume(void **state)
{
    (void)state;
    stepped_alone(meet_hostile_links);
}

static void meet_bad_places(void)
{
    char longest[PATH_MAX + 1];
    mount_data();
    IS_REFUSED("/circle", ELOOP);
    IS_REFUSED("/circle/new", ELOOP);
    IS_REFUSED("/to-proc", EPERM);
    IS_REFUSED("/", EPERM);
    IS_REFUSED("/far/..", EPERM);
    IS_REFUSED("/to-file", ENOTDIR);
    IS_REFUSED("/to-file/new", ENOTDIR);
    IS_NO_FILE("/plain", ENOTDIR);
    IS_NO_FILE("/to-file/", ENOTDIR);
    memset(longest, 'x', PATH_MAX);
    for (size_t at = 0; at < PATH_MAX; at += 100)
        longest[at] = '/';
    longest[PATH_MAX] = '\0';
    IS_REFUSED(longest, ENAMETOOLONG);
    memcpy(longest, "/long/", 6); /* with where the link leads it is too long */
    longest[PATH_MAX - 1] = '\0';
    IS_REFUSED(longest, ENAMETOOLONG);
}

static void test_places_that_cannot_be(void **state)
{
    (void)state;
    stepped_alone(meet_bad_places);
}

/* ---- the volume's own path ------------------------------------------------------------------ */

static void expect_mount(const char *path, long error)
{
    char source[200];
    strcpy(source, path);
    long rc = volume_mount("/far", source, true);
    stepped_expect(rc == error, path, rc);
    stepped_expect(strcmp(source, path) == 0, "the path has changed", rc);
    if (rc == 0)
        umount2("/far", MNT_DETACH);
}

static void mount_sub_paths(void)
{
    struct stat made;
    expect_mount("/data/a", 0);
    expect_mount("/data/new/deep", 0);
    stepped_expect(stat("/data/new/deep", &made) == 0 && (made.st_mode & 07777) == 0777, "mode",
                   made.st_mode);
    expect_mount("/data/hostile", -ENOTDIR);
    expect_mount("/data/hostile/new", -ENOTDIR);
    expect_mount("/outside/file", -ENOTDIR);
    expect_mount("/outside/file/new", -ENOTDIR);
    expect_mount("/data//a", -EINVAL);
    expect_mount("/data/a/", -EINVAL);
    rmdir("/data/new/deep");
    rmdir("/data/new");
}

static void test_sub_paths(void **state)
{
    (void)state;
    stepped_alone(mount_sub_paths);
}

/* Their number is bounded, which the rules of a spec keep far away. */
static void mount_too_many(void)
{
    char source[] = "/data";
    for (int i = 0; i < 128; i++)
        stepped_expect(volume_mount("/far", source, false) == 0, "mounting", i);
    stepped_expect(volume_mount("/far", source, false) == -E2BIG, "one too many", 0);
    for (int i = 0; i < 128; i++)
        stepped_expect(umount2("/far", MNT_DETACH) == 0, "unmounting", i);
    stepped_expect(umount2("/far", MNT_DETACH) < 0, "one more", 0);
}

static void test_too_many_mounts(void **state)
{
    (void)state;
    stepped_alone(mount_too_many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_of_the_sandbox_itself),
        cmocka_unit_test(test_links_of_a_volume),
        cmocka_unit_test(test_places_that_cannot_be),
        cmocka_unit_test(test_sub_paths),
        cmocka_unit_test(test_too_many_mounts),
    };
    return cmocka_run_group_tests(tests, make_world, stepped_tear_down);
}
