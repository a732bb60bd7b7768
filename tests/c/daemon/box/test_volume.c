/* The scratch volumes of a box: what commands see of them, and that no link leads out. */
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/statfs.h>

#include "support/box_hosts.h"

#define MIB (1024ull * 1024)

static const struct cwsd_volume data = {"data", 4 * MIB};

static char *argv[] = {(char *)"/bin/sh", (char *)"-c", NULL, NULL};

static struct cwsd_box_options with_script(const char *script, const struct cwsd_volume *volumes,
                                           size_t volume_count,
                                           const struct cwsd_volume_mount *mounts,
                                           size_t mount_count)
{
    argv[2] = (char *)script;
    return (struct cwsd_box_options){.id = "test",
                                     .command = {argv, 3},
                                     .volumes = volumes,
                                     .volume_count = volume_count,
                                     .mounts = mounts,
                                     .mount_count = mount_count};
}

/* With and without an overlay. */
static void expect(const char *script, const struct cwsd_volume_mount *mounts, size_t count)
{
    struct cwsd_host *const hosts[] = {host, host_without_overlay};
    for (size_t i = 0; i < 2; i++) {
        struct box_world world;
        struct cwsd_box_options options = with_script(script, &data, 1, mounts, count);
        world_open(&world, hosts[i]);
        box_start(&world, &options);
        box_end(&world);
        if (world.err.status != CWS_OK || world.exit_code != 0)
            fail_msg("%s: %d, %s", script, world.exit_code, world.err.text);
        world_close(&world);
    }
}

static void expect_failure(const struct cwsd_volume_mount *mount, const char *text)
{
    struct box_world world;
    struct cwsd_box_options options = with_script("exit 0", &data, 1, mount, 1);
    world_open(&world, host);
    box_start(&world, &options);
    box_end(&world);
    assert_false(world.running);
    assert_string_equal(world.err.text, text);
    world_close(&world);
}

static void test_is_a_file_system_of_its_own(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/made/for/it", NULL, false, 0};
    expect("set -e; cd /made/for/it; echo a > a; chmod 1750 .; ls -A | grep -qx a\n"
           "[ $(df -P -k . | awk 'NR == 2 {print $2}') = 4096 ]\n"
           "! head -c 5M /dev/zero > full; rm full; head -c 3M /dev/zero > fits\n"
           "mount | grep ' /made/for/it ' | grep nosuid | grep -q nodev\n"
           "! [ -e /.cwsandbox ]",
           &mount, 1);
}

static void test_one_volume_in_several_places(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mounts[] = {
        {"data", "/a", NULL, false, 0},
        {"data", "/a/inner", "x/y", false, 0},
        {"data", "/b", NULL, true, 0},
        {"data", "/usr/local/share/there", "x", false, 0},
    };
    expect("set -e; echo 1 > /a/x/y/f; grep -q 1 /b/x/y/f\n"
           "grep -q 1 /a/inner/f; ! (: > /b/no) 2> /dev/null; ! mv /b/x /b/z 2> /dev/null\n"
           "[ -d /a/inner ]; ! [ -e /b/inner/f ]",
           mounts, 3);
    struct box_world world;
    struct cwsd_box_options options =
        with_script("[ -d /usr/local/share/there/y ]", &data, 1, mounts, 4);
    world_open(&world, host);
    box_start(&world, &options);
    box_end(&world);
    assert_int_equal(world.exit_code, 0);
    world_close(&world);
}

/* /var/run leads to /run in every sandbox. */
static void test_a_target_behind_a_link(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/var/run/here", NULL, false, 0};
    expect("set -e; : > /run/here/f; [ -e /var/run/here/f ]; mount | grep -q ' /run/here '", &mount,
           1);
}

static void test_a_target_that_is_no_directory(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/etc/passwd", NULL, false, 0};
    expect_failure(&mount, "cwsandbox-init, mounting a volume at /etc/passwd: Not a directory");
}

/* The rules of the spec keep such names out; a link could lead there all the same. */
static void test_a_target_in_proc(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/proc/sys/fs", NULL, false, 0};
    static const struct cwsd_volume_mount root = {"data", "/var/..", NULL, false, 0};
    expect_failure(&mount,
                   "cwsandbox-init, mounting a volume at /proc/sys/fs: Operation not permitted");
    expect_failure(&root, "cwsandbox-init, mounting a volume at /var/..: Operation not permitted");
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static uint64_t size_of(const struct box_world *world, const char *name)
{
    struct statfs status;
    int fd = cwsd_box_volume(world->box, name);
    assert_true(fd >= 0);
    assert_int_equal(fstatfs(fd, &status), 0);
    return (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
}

/* Those without a size share what the others leave. */
static void test_sizes(void **state)
{
    (void)state;
    struct box_world world;
    const uint64_t limit = host->limits.written_bytes;
    const struct cwsd_volume volumes[] = {{"a", 1}, {"b", 0}, {"c", limit / 2}, {"d", 0}};
    struct cwsd_box_options options = with_script(KEEP_ALIVE, volumes, 4, NULL, 0);
    world_open(&world, host);
    box_start(&world, &options);
    RUN_UNTIL(&world, world.running || world.gone);
    assert_true(world.running);
    assert_int_equal(size_of(&world, "a"), 4096);
    assert_int_equal(size_of(&world, "c"), (limit / 2 + 4095) / 4096 * 4096);
    assert_int_equal(size_of(&world, "b"), size_of(&world, "d"));
    assert_true(size_of(&world, "b") > limit / 4 - 65536 && size_of(&world, "b") < limit / 4);
    assert_int_equal(cwsd_box_volume(world.box, "e"), -1);
    assert_int_equal(world.volumes, 0);
    box_close(&world);
}

static void test_more_than_the_limit(void **state)
{
    (void)state;
    struct box_world world;
    struct cws_error err;
    const struct cwsd_volume volumes[][2] = {
        {{"a", host->limits.written_bytes}, {"b", 1}},
        {{"a", host->limits.written_bytes}, {"b", 0}},
        {{"a", UINT64_MAX}, {"b", 0}},
    };
    world_open(&world, host);
    for (size_t i = 0; i < 3; i++) {
        struct cwsd_box_options options = with_script(KEEP_ALIVE, volumes[i], 2, NULL, 0);
        assert_int_equal(
            cwsd_box_new(world.loop, host, &options, &box_world_events, &world, &world.box, &err),
            CWS_TOO_LARGE);
        assert_non_null(strstr(err.text, "--max-written"));
    }
    world_close(&world);
}

static void test_none_without_isolation(void **state)
{
    (void)state;
    struct box_world world;
    struct cws_error err;
    struct cwsd_box_options options = with_script(KEEP_ALIVE, &data, 1, NULL, 0);
    world_open(&world, host_none);
    assert_int_equal(
        cwsd_box_new(world.loop, host_none, &options, &box_world_events, &world, &world.box, &err),
        CWS_INVALID);
    assert_string_equal(err.text, "data: there are no volumes with --isolation=none");
    world_close(&world);
}

/* ---- filled before they are seen ------------------------------------------------------------ */

/* As a restored snapshot may have it. */
static void open_held(struct box_world *world, struct cwsd_box_options *options)
{
    options->hold_volumes = true;
    world_open(world, host);
    box_start(world, options);
    RUN_UNTIL(world, world->volumes || world->gone);
    if (world->gone)
        fail_msg("%s", world->err.text);
    assert_int_equal(world->volumes, 1);
}

/* Only the box's own user exists in its file systems. */
static int as_its_user(const struct box_world *world)
{
    setfsgid(world->box->user ? world->box->user : getegid());
    setfsuid(world->box->user ? world->box->user : geteuid());
    return cwsd_box_volume(world->box, "data");
}

static void as_oneself(void)
{
    setfsuid(geteuid());
    setfsgid(getegid());
}

static void test_what_is_put_in_first_is_there(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mounts[] = {{"data", "/data", NULL, false, 0},
                                                      {"data", "/sub", "a/b", false, 0}};
    struct cwsd_box_options options =
        with_script("[ -d /data/a/b ] && [ -d /sub/c ]", &data, 1, mounts, 2);
    struct box_world world;
    open_held(&world, &options);
    int fd = as_its_user(&world);
    assert_int_equal(mkdirat(fd, "a", 0755) | mkdirat(fd, "a/b", 0755) | mkdirat(fd, "a/b/c", 0755),
                     0);
    as_oneself();
    assert_false(world.running);
    cwsd_box_go(world.box);
    box_end(&world);
    assert_int_equal(world.exit_code, 0);
    world_close(&world);
}

/* A sub_path is never followed to where a link says. */
static void test_planted_links(void **state)
{
    (void)state;
    static const char *const targets[] = {"/", "/etc", "..", "other", "/proc/1/root"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(targets); i++)
        for (int below = 0; below < 2; below++) {
            const struct cwsd_volume_mount mount = {"data", "/sub", below ? "link/x" : "link",
                                                    false, 0};
            struct cwsd_box_options options = with_script("exit 0", &data, 1, &mount, 1);
            struct box_world world;
            open_held(&world, &options);
            int fd = as_its_user(&world);
            assert_int_equal(mkdirat(fd, "other", 0755), 0);
            assert_int_equal(symlinkat(targets[i], fd, "link"), 0);
            as_oneself();
            cwsd_box_go(world.box);
            box_end(&world);
            assert_false(world.running);
            assert_string_equal(world.err.text,
                                "cwsandbox-init, mounting a volume at /sub: Not a directory");
            world_close(&world);
        }
}

/* Where a link in a volume leads, no file is put and no other volume mounted. */
static void test_links_on_the_way_to_a_place(void **state)
{
    (void)state;
    static const char *const targets[] = {"/etc", "..", "other", "/proc/1", "/.cwsandbox", "/no"};
    static const struct cwsd_volume_mount mounts[] = {{"data", "/data", NULL, false, 0},
                                                      {"data", "/data/link/x", "own", false, 0}};
    static const char *const paths[] = {"/data/link", "/data/link/passwd"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(targets); i++)
        for (size_t j = 0; j < 3; j++) {
            const struct cwsd_file file = {j < 2 ? paths[j] : NULL, (const uint8_t *)"secret", 6,
                                           0644};
            struct cwsd_box_options options =
                with_script("exit 0", &data, 1, mounts, j == 2 ? 2 : 1);
            struct box_world world;
            char expected[200];
            options.files = &file;
            options.file_count = j < 2;
            open_held(&world, &options);
            int fd = as_its_user(&world);
            assert_int_equal(mkdirat(fd, "other", 0755), 0);
            assert_int_equal(symlinkat(targets[i], fd, "link"), 0);
            as_oneself();
            cwsd_box_go(world.box);
            box_end(&world);
            assert_false(world.running);
            snprintf(expected, sizeof(expected),
                     "cwsandbox-init, %s %s: Too many levels of symbolic links",
                     j < 2 ? "putting the file" : "mounting a volume at",
                     j < 2 ? paths[j] : "/data/link/x");
            assert_string_equal(world.err.text, expected);
            world_close(&world);
        }
}

/* Files are put into volumes, too: over what is there, and where nothing is yet. */
static void test_files_in_a_volume(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/data", NULL, false, 0};
    static const struct cwsd_file files[] = {{"/data/old", (const uint8_t *)"new", 3, 0644},
                                             {"/data/made/for/it", (const uint8_t *)"new", 3, 0600},
                                             {"/var/run/other", (const uint8_t *)"new", 3, 0644}};
    struct cwsd_box_options options =
        with_script("set -e; for f in /data/old /data/made/for/it /run/other; do\n"
                    "grep -qx new $f; ! (: > $f) 2> /dev/null; ! rm -f $f 2> /dev/null; done",
                    &data, 1, &mount, 1);
    struct box_world world;
    options.files = files;
    options.file_count = CWS_ARRAY_LEN(files);
    open_held(&world, &options);
    int fd = as_its_user(&world);
    close(openat(fd, "old", O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    as_oneself();
    cwsd_box_go(world.box);
    box_end(&world);
    assert_int_equal(world.exit_code, 0);
    world_close(&world);
}

static void test_stopped_while_it_waits(void **state)
{
    (void)state;
    struct cwsd_box_options options = with_script("exit 0", &data, 1, NULL, 0);
    struct box_world world;
    open_held(&world, &options);
    cwsd_box_stop(world.box, 1000);
    cwsd_box_go(world.box); /* too late */
    box_end(&world);
    assert_false(world.running);
    assert_int_equal(world.err.status, CWS_CANCELLED);
    world_close(&world);
}

/* What a box wrote can be read when everything in it has ended. */
static void test_outlives_the_processes(void **state)
{
    (void)state;
    static const struct cwsd_volume_mount mount = {"data", "/data", NULL, false, 0};
    struct box_world world;
    struct cwsd_box_options options = with_script("echo kept > /data/file", &data, 1, &mount, 1);
    char text[8] = "";
    world_open(&world, host);
    box_start(&world, &options);
    RUN_UNTIL(&world, world.gone);
    int file = openat(cwsd_box_volume(world.box, "data"), "file", O_RDONLY);
    assert_int_equal(read(file, text, sizeof(text) - 1), 5);
    assert_string_equal(text, "kept\n");
    close(file);
    cwsd_box_free(world.box);
    world_close(&world);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_is_a_file_system_of_its_own),
    UNIT_TEST(test_one_volume_in_several_places),
    UNIT_TEST(test_a_target_behind_a_link),
    UNIT_TEST(test_a_target_that_is_no_directory),
    UNIT_TEST(test_a_target_in_proc),
    UNIT_TEST(test_sizes),
    UNIT_TEST(test_more_than_the_limit),
    UNIT_TEST(test_none_without_isolation),
    UNIT_TEST(test_what_is_put_in_first_is_there),
    UNIT_TEST(test_planted_links),
    UNIT_TEST(test_links_on_the_way_to_a_place),
    UNIT_TEST(test_files_in_a_volume),
    UNIT_TEST(test_stopped_while_it_waits),
    UNIT_TEST(test_outlives_the_processes),
};

int main(void)
{
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
