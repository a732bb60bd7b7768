/* cwsandboxd/host/tree: a directory as a mount that is nowhere yet, also of a user who may not
 * mount, and what a sandbox puts in its place meanwhile. */
#include "support/own_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host/tree.h"

#define ORDINARY ((uid_t)65534)

static void (*before_reading)(void); /* what the hostile sandbox does before the path is known */
static void (*after_reading)(void);  /* and after that */

/* In place of libc's: the path of a descriptor is read to open it anew. */
ssize_t readlink(const char *path, char *out, size_t size)
{
    if (before_reading)
        before_reading();
    ssize_t len = syscall(SYS_readlink, path, out, size);
    if (after_reading)
        after_reading();
    return len;
}

static void in(const char *name, char path[96])
{
    snprintf(path, 96, "%s/%s", own_folder, name);
}

static void make_folder(const char *name, uid_t owner)
{
    char path[96];
    in(name, path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chown(path, owner, owner), 0);
}

static int open_folder(const char *name)
{
    char path[96];
    in(name, path);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool is_same(int one, int other)
{
    struct stat first, second;
    assert_int_equal(fstat(one, &first), 0);
    assert_int_equal(fstat(other, &second), 0);
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* Looks at the mount, and closes it. */
static bool is_mount_of(int tree, int from, bool read_only)
{
    struct statvfs flags;
    bool is = fstatvfs(tree, &flags) == 0 && is_same(tree, from) && (flags.f_flag & ST_NOSUID) &&
              (flags.f_flag & ST_NODEV) && ((flags.f_flag & ST_RDONLY) != 0) == read_only;
    close(tree);
    return is;
}

/* What is done as an ordinary user is done in a child: 0 as wanted, 77 not possible here. */
static void as_ordinary(int (*step)(int from), int from)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(ORDINARY) || setuid(ORDINARY)))
            _exit(77);
        pid_t tried = fork();
        if (tried == 0)
            _exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0);
        if (waitpid(tried, &status, 0) < 0 || status)
            _exit(77);
        _exit(step(from));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("ordinary users of this host have no user namespaces\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void by_whoever_may_mount(void **state)
{
    (void)state;
    struct cws_error err;
    int tree, from = open_folder("plain");
    if (geteuid() != 0)
        skip(); /* the next but one is of them */
    for (int read_only = 0; read_only < 2; read_only++) {
        if (cwsd_tree_make(from, read_only, 0, &tree, &err) != CWS_OK)
            fail_msg("%s", err.text);
        assert_true(is_mount_of(tree, from, read_only));
    }
    close(from);
}

/* What it makes is the owner's on the disk. Such mounts need a file system that has them. */
static void as_another_user(void **state)
{
    (void)state;
    struct cws_error err;
    struct stat seen;
    int tree, from = open_folder("nobodys");
    if (geteuid() != 0)
        skip(); /* only root gives files away */
    if (cwsd_tree_make(from, false, 4711, &tree, &err) != CWS_OK) {
        assert_non_null(strstr(err.text, "no id-mapped mounts"));
        print_message("%s\n", err.text);
        close(from);
        skip();
    }
    assert_int_equal(fstat(tree, &seen), 0);
    assert_int_equal(seen.st_uid, 4711);
    assert_int_equal(seen.st_gid, 4711);
    assert_int_equal(fstat(from, &seen), 0);
    assert_int_equal(seen.st_uid, CWSD_TREE_OWNER);
    close(tree);
    close(from);
}

static int make_as_ordinary(int from)
{
    struct cws_error err;
    for (int read_only = 0, tree; read_only < 2; read_only++)
        if (cwsd_tree_make(from, read_only, 0, &tree, &err) != CWS_OK ||
            !is_mount_of(tree, from, read_only))
            return 1;
    return 0;
}

static void by_an_ordinary_user(void **state)
{
    (void)state;
    int from = open_folder("plain");
    as_ordinary(make_as_ordinary, from);
    close(from);
}

/* ---- what is put in its place --------------------------------------------------------------- */

static void swap(const char *this, const char *that)
{
    char one[96], other[96];
    in(this, one);
    in(that, other);
    if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) < 0)
        _exit(2);
}

static void swap_with_link(void)
{
    swap("top/plain", "top/link");
}

static void swap_parent_with_link(void)
{
    swap("top", "toplink");
}

static void swap_with_other(void)
{
    swap("top/plain", "top/other");
}

/* It is the one that was meant, or none at all. */
static int refuses(int from)
{
    struct cws_error err;
    int tree = -1;
    enum cws_status status = cwsd_tree_make(from, false, 0, &tree, &err);
    if (status == CWS_OK)
        return 1;
    return tree < 0 && status == CWS_SYSTEM && strstr(err.text, "a mount of the volume") ? 0 : 3;
}

/* The path that the kernel tells is of where it is by then. */
static int finds_it(int from)
{
    struct cws_error err;
    int tree;
    return cwsd_tree_make(from, false, 0, &tree, &err) == CWS_OK && is_mount_of(tree, from, false)
               ? 0
               : 1;
}

static void another_thing_in_its_place(void **state)
{
    static void (*const swaps[])(void) = {swap_with_link, swap_parent_with_link, swap_with_other};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(swaps); i++) {
        int from = open_folder("top/plain");
        after_reading = swaps[i];
        as_ordinary(refuses, from);
        after_reading = NULL;
        swaps[i](); /* back again */
        before_reading = swaps[i];
        as_ordinary(finds_it, from);
        before_reading = NULL;
        swaps[i]();
        close(from);
    }
}

static void remove_it(void)
{
    char path[96];
    in("gone", path);
    if (rmdir(path) < 0)
        _exit(2);
}

static void removed_meanwhile(void **state)
{
    (void)state;
    int from = open_folder("gone");
    after_reading = remove_it;
    as_ordinary(refuses, from);
    after_reading = NULL;
    close(from);
}

/* ---- the folders ---------------------------------------------------------------------------- */

static int set_up(void **state)
{
    char path[96];
    uid_t user = geteuid() ? geteuid() : ORDINARY;
    if (own_folder_make(state) || chown(own_folder, user, user))
        return -1;
    static const char *const names[] = {"plain", "top",        "top/plain", "top/other",
                                        "else",  "else/plain", "gone"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++)
        make_folder(names[i], user);
    make_folder("nobodys", geteuid() ? user : CWSD_TREE_OWNER);
    in("top/link", path);
    if (symlink("../else/plain", path))
        return -1;
    in("toplink", path);
    return symlink("else", path);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, own_folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(by_whoever_may_mount), TREE_TEST(as_another_user),
        TREE_TEST(by_an_ordinary_user),  TREE_TEST(another_thing_in_its_place),
        TREE_TEST(removed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
