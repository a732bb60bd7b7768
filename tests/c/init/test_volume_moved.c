/* cwsandbox-init/volume: what another sandbox that has the same volume puts in the place of a
 * directory while the init walks to it. Each pair of moments between two system calls is tried. */
#include "support/stepped.h"

#include <dirent.h>
#include <fcntl.h>

#include "cwsandbox-init/init.h"

/* The hostile sandbox: its two names change places. */
static struct {
    int volume;
    const char *this, *that;
} hostile;

static void swap(void)
{
    stepped_expect(
        renameat2(hostile.volume, hostile.this, hostile.volume, hostile.that, RENAME_EXCHANGE) == 0,
        hostile.this, errno);
}

/* For the next run. */
static void swap_back(unsigned acts)
{
    if (acts % 2)
        swap();
}

static char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s%s", stepped_root, name);
    return path;
}

/* ---- the world ------------------------------------------------------------------------------ */

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in_root(name), 0777), 0);
}

static void make_file(const char *name)
{
    assert_int_equal(mknod(in_root(name), S_IFREG | 0644, 0), 0);
}

/* The volume, with links that lead to where no other sandbox may come; and another volume. */
static int make_world(void **state)
{
    static const char *const folders[] = {
        "/data",         "/data/a",         "/data/a/b", "/data/a/b/c", "/data/other",
        "/data/other/b", "/data/other/b/c", "/outside",  "/outside/b",  "/outside/b/c",
        "/outside/c",    "/another",        "/place",    "/vol"};
    if (stepped_set_up(state))
        return -1;
    umask(0);
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++)
        make_folder(folders[i]);
    make_file("/data/a/b/c/inside");
    make_file("/data/other/b/c/inside");
    make_file("/another/mark");
    hostile.volume = open(in_root("/data"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("/outside", hostile.volume, "link"), 0);
    assert_int_equal(symlinkat("../../outside", hostile.volume, "a/link"), 0);
    return hostile.volume < 0;
}

static int remove_world(void **state)
{
    close(hostile.volume);
    return stepped_tear_down(state);
}

/* ---- what the children see ------------------------------------------------------------------ */

static bool is_there(const char *name)
{
    struct stat info;
    return lstat(name, &info) == 0;
}

static int count_names(const char *name)
{
    int names = 0;
    DIR *folder = opendir(name);
    while (folder && readdir(folder))
        names++;
    if (folder)
        closedir(folder);
    return names - 2; /* "." and ".." */
}

/* Nothing was made there, and nothing mounted. */
static void expect_untouched(void)
{
    static const struct {
        const char *name;
        int names;
    } known[] = {{"/outside", 2}, {"/outside/b", 1}, {"/outside/b/c", 0}, {"/outside/c", 0}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(known); i++) {
        char mark[100];
        snprintf(mark, sizeof(mark), "%s/mark", known[i].name);
        stepped_expect(!is_there(mark), mark, 1);
        int names = count_names(known[i].name);
        stepped_expect(names == known[i].names, known[i].name, names);
    }
}

/* ---- the volume's own path ------------------------------------------------------------------ */

static long mount_sub_path(void)
{
    char place[] = "/place", source[] = "/data/a/b/c";
    return volume_mount(place, source, false);
}

static bool is_sub_path_or_refused(long rc, unsigned acts)
{
    if (rc == 0)
        stepped_expect(is_there("/place/inside"), "something else was mounted", rc);
    else
        stepped_expect(rc == -ENOTDIR, "the reason", rc);
    expect_untouched();
    swap_back(acts);
    return rc == 0;
}

static void unmount_place(void)
{
    umount2("/place", MNT_DETACH);
}

static const struct stepped at_sub_path = {
    .run = mount_sub_path, .act = swap, .check = is_sub_path_or_refused, .clean = unmount_place};

/* What it was when it was met counts: it may be reached whatever was swapped. */
static void try_swapping(const struct stepped *stepped, const char *this, const char *that)
{
    hostile.this = this;
    hostile.that = that;
    assert_true(stepped_try_all(stepped) > 0);
}

static void test_a_link_in_the_place_of_each_part(void **state)
{
    (void)state;
    try_swapping(&at_sub_path, "a", "link");
    try_swapping(&at_sub_path, "a/b", "link");
    try_swapping(&at_sub_path, "a/b/c", "link");
    try_swapping(&at_sub_path, "a/b", "a/link");
}

/* What was on the way when it was moved is still in the volume. */
static void test_a_directory_in_the_place_of_another(void **state)
{
    (void)state;
    try_swapping(&at_sub_path, "a", "other");
    try_swapping(&at_sub_path, "a/b", "other/b");
}

/* ---- a path that others make, too ----------------------------------------------------------- */

static long mount_new(void)
{
    char place[] = "/place", source[] = "/data/new/deep";
    return volume_mount(place, source, false);
}

static void make_new(void)
{
    mkdirat(hostile.volume, "new", 0777);
    mkdirat(hostile.volume, "new/deep", 0777);
}

static bool is_mounted(long rc, unsigned acts)
{
    (void)acts;
    stepped_expect(rc == 0, "it was refused", rc);
    return true;
}

static void remove_new(void)
{
    umount2("/place", MNT_DETACH);
    rmdir("/data/new/deep");
    rmdir("/data/new");
}

/* As when two sandboxes start at the same time that want the same new directory. */
static void test_made_by_another_meanwhile(void **state)
{
    static const struct stepped stepped = {
        .run = mount_new, .act = make_new, .check = is_mounted, .clean = remove_new};
    (void)state;
    assert_true(stepped_try_all(&stepped) > 0);
}

/* ---- a place in a volume -------------------------------------------------------------------- */

static void mount_volume(void)
{
    char place[] = "/vol", source[] = "/data";
    int rc = volume_mount(place, source, false);
    stepped_expect(rc == 0, "mounting the volume", rc);
}

static void unmount_volume(void)
{
    umount2("/vol", MNT_DETACH); /* and all that is in it */
    rmdir("/data/a/b/new/deep");
    rmdir("/data/a/b/new");
    unlink("/data/a/b/file");
}

static long mount_another(void)
{
    char place[] = "/vol/a/b/c", source[] = "/another";
    return volume_mount(place, source, false);
}

static long mount_another_at_new(void)
{
    char place[] = "/vol/a/b/new/deep", source[] = "/another";
    return volume_mount(place, source, false);
}

static bool is_reached_or_refused(long rc, unsigned acts)
{
    stepped_expect(rc == 0 || rc == -ELOOP, "the reason", rc);
    expect_untouched();
    swap_back(acts);
    return rc == 0;
}

static void test_a_place_in_a_volume(void **state)
{
    static const struct stepped there = {.prepare = mount_volume,
                                         .run = mount_another,
                                         .act = swap,
                                         .check = is_reached_or_refused,
                                         .clean = unmount_volume},
                                new = {.prepare = mount_volume,
                                       .run = mount_another_at_new,
                                       .act = swap,
                                       .check = is_reached_or_refused,
                                       .clean = unmount_volume};
    (void)state;
    try_swapping(&there, "a", "link");
    try_swapping(&there, "a/b", "a/link");
    try_swapping(&new, "a", "link");
    try_swapping(&new, "a/b", "a/link");
}

/* Where a file is shown, with what a sandbox may not know. */
static long open_file(void)
{
    char place[] = "/vol/a/b/file";
    return volume_open_place(place, S_IFREG | 0644);
}

static bool is_file_in_volume(long rc, unsigned acts)
{
    char link[64], path[200] = "";
    if (rc >= 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%ld", rc);
        stepped_expect(readlink(link, path, sizeof(path) - 1) > 0, "its path", errno);
        stepped_expect(strncmp(path, "/vol/", 5) == 0, path, rc);
        close((int)rc);
    } else {
        stepped_expect(rc == -ELOOP, "the reason", rc);
    }
    expect_untouched();
    swap_back(acts);
    return rc >= 0;
}

static void test_a_file_in_a_volume(void **state)
{
    static const struct stepped stepped = {.prepare = mount_volume,
                                           .run = open_file,
                                           .act = swap,
                                           .check = is_file_in_volume,
                                           .clean = unmount_volume};
    (void)state;
    try_swapping(&stepped, "a", "link");
    try_swapping(&stepped, "a/b", "a/link");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_in_the_place_of_each_part),
        cmocka_unit_test(test_a_directory_in_the_place_of_another),
        cmocka_unit_test(test_made_by_another_meanwhile),
        cmocka_unit_test(test_a_place_in_a_volume),
        cmocka_unit_test(test_a_file_in_a_volume),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
