/* cwsandboxd/dir, state, token: what the daemon keeps in files. */
#include "support/other_daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "config/token.h"
#include "host/state.h"

static char root[64]; /* of each test */

static bool unlocked;           /* a daemon's lock was removed */
static unsigned files_unlocked; /* files that were removed after it */

/* In place of the C library's. */
int unlinkat(int dir, const char *name, int flags)
{
    if (strstr(name, "/state-lock"))
        unlocked = true;
    else if (unlocked && !(flags & AT_REMOVEDIR))
        files_unlocked++;
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    strcpy(root, "/tmp/cwsd-state-XXXXXX");
    assert_non_null(mkdtemp(root));
    return live_before(state);
}

static int tear_down(void **state)
{
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return nothing_leaked(state);
}

#define STATE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const char *in_root(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static bool exists(const char *name)
{
    struct stat info;
    return lstat(in_root(name), &info) == 0;
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void write_file(const char *name, const void *data, size_t len, unsigned mode)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* ---- dir ------------------------------------------------------------------------------------ */

static void dirs(void **state)
{
    (void)state;
    struct cwsd_dir dir, below;
    struct cws_error err;
    char path[200];
    strcpy(path, in_root("a/b/c"));
    assert_int_equal(cwsd_dir_make(path, &dir, &err), CWS_OK);
    assert_int_equal(mode_of(in_root("a")), 0700);
    assert_int_equal(mode_of(in_root("a/b/c")), 0700);
    strcpy(path, in_root("a/b/d/"));
    assert_int_equal(cwsd_dir_make(path, &below, &err), CWS_OK);
    cwsd_dir_remove(&dir); /* what somebody else uses stays */
    assert_false(exists("a/b/c"));
    assert_true(exists("a/b/d"));
    cwsd_dir_remove(&below);
    assert_false(exists("a/b/d"));
    assert_true(exists("a/b")); /* was there when `below` was made */
    cwsd_dir_remove(&below);

    strcpy(path, in_root("a"));
    assert_int_equal(cwsd_dir_make(path, &dir, &err), CWS_OK);
    cwsd_dir_remove(&dir);
    assert_true(exists("a"));
}

static void dirs_that_cannot_be(void **state)
{
    (void)state;
    struct cwsd_dir dir;
    struct cws_error err;
    write_file("file", "x", 1, 0600);
    char path[5000];
    strcpy(path, in_root("file/below"));
    assert_int_equal(cwsd_dir_make(path, &dir, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, path));
    snprintf(path, sizeof(path), "%s/made/%0300d", root, 0); /* a part of it is too long */
    assert_int_equal(cwsd_dir_make(path, &dir, &err), CWS_SYSTEM);
    assert_false(exists("made")); /* nothing is left of an attempt */
    snprintf(path, sizeof(path), "/%04500d", 0);
    assert_int_equal(cwsd_dir_make(path, &dir, &err), CWS_INVALID);
}

static void parents_that_others_may_change(void **state)
{
    (void)state;
    struct cws_error err;
    char path[200];
    strcpy(path, in_root("below"));
    assert_int_equal(cwsd_dir_check_parent(path, &err), CWS_OK);
    assert_int_equal(cwsd_dir_check_parent("/tmp/any", &err), CWS_OK); /* sticky */
    assert_int_equal(cwsd_dir_check_parent("/any", &err), CWS_OK);
    assert_int_equal(chmod(root, 0777), 0);
    assert_int_equal(cwsd_dir_check_parent(path, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "0777"));
    assert_int_equal(chmod(root, 01777), 0);
    assert_int_equal(cwsd_dir_check_parent(path, &err), CWS_OK);
    assert_int_equal(cwsd_dir_check_parent(in_root("none/below"), &err), CWS_SYSTEM);
    if (geteuid() == 0) {
        assert_int_equal(chown(root, 12345, 0), 0);
        assert_int_equal(cwsd_dir_check_parent(path, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, "12345"));
    }
}

/* ---- state ---------------------------------------------------------------------------------- */

static bool take(const char *base)
{
    struct cwsd_state own;
    struct cws_error err;
    return cwsd_state_open(base, &own, &err) == CWS_OK;
}

static void states_side_by_side(void **state)
{
    (void)state;
    struct cwsd_state own, next;
    struct cws_error err;
    struct other_daemon other;
    char base[200];
    strcpy(base, in_root("run/state"));
    other_daemon_start(&other, take, base, false);
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_OK);
    assert_string_equal(strrchr(own.path, '/'), "/d1");
    assert_int_equal(mode_of(own.path), 0700);
    assert_int_equal(mode_of(base), 0700);
    cwsd_state_close(&own);
    assert_true(exists("run/state/d0"));
    assert_false(exists("run/state/d1"));
    assert_true(exists("run/state")); /* who is not the last leaves it */
    other_daemon_kill(&other);
    assert_int_equal(cwsd_state_open(base, &next, &err), CWS_OK);
    assert_string_equal(strrchr(next.path, '/'), "/d0");
    cwsd_state_close(&next);
    cwsd_state_close(&next); /* harmless */
}

static void killed_while_it_starts_a_program(void **state)
{
    (void)state;
    struct cwsd_state own;
    struct cws_error err;
    struct other_daemon other;
    other_daemon_start(&other, take, in_root("state"), true);
    other_daemon_kill(&other);
    assert_int_equal(cwsd_state_open(in_root("state"), &own, &err), CWS_OK);
    assert_string_equal(strrchr(own.path, '/'), "/d0");
    assert_false(exists("state/d1"));
    cwsd_state_close(&own);
}

static void the_last_one_leaves_nothing(void **state)
{
    (void)state;
    struct cwsd_state own;
    struct cws_error err;
    assert_int_equal(cwsd_state_open(in_root("run/state"), &own, &err), CWS_OK);
    cwsd_state_close(&own);
    assert_false(exists("run"));
    assert_true(exists(""));
}

/* What a daemon leaves that was killed: its directory, full, and unlocked by its end. */
static void leave_behind(const char *base)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct cwsd_state own;
        struct cws_error err;
        char path[300];
        if (cwsd_state_open(base, &own, &err) != CWS_OK)
            _exit(1);
        snprintf(path, sizeof(path), "%s/upper", own.path);
        mkdir(path, 0700);
        strcat(path, "/closed");
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/upper/closed/file", own.path);
        close(open(path, O_CREAT | O_WRONLY, 0));
        snprintf(path, sizeof(path), "%s/upper/closed", own.path);
        chmod(path, 0); /* as overlayfs leaves its work directory */
        snprintf(path, sizeof(path), "%s/link", own.path);
        _exit(symlink(root, path));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void leftovers_are_removed(void **state)
{
    (void)state;
    struct other_daemon living;
    struct cwsd_state own;
    struct cws_error err;
    char base[200];
    strcpy(base, in_root("state"));
    leave_behind(base);
    assert_true(exists("state/d0/upper/closed"));
    other_daemon_start(&living, take, base, false);
    assert_false(exists("state/d0/upper"));
    leave_behind(base);
    write_file("state/notes", "mine", 4, 0600); /* not the daemon's */
    assert_true(exists("state/d1/upper"));
    unlocked = false;
    files_unlocked = 0;
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_OK);
    assert_true(unlocked);
    assert_int_equal(files_unlocked, 0); /* or a kill would leave what nobody removes */
    assert_string_equal(strrchr(own.path, '/'), "/d1");
    assert_false(exists("state/d1/upper"));
    assert_true(exists("state/d0/state-lock"));
    assert_true(exists("state/notes"));
    assert_true(exists("")); /* what a symbolic link pointed at */
    cwsd_state_close(&own);
    other_daemon_kill(&living);
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in_root(name), 0700), 0);
}

/* Whoever puts a data directory, or anything else, below the same base keeps it, whatever its name
 * and whether or not it has a lock of its own. */
static void what_is_not_a_daemons_stays(void **state)
{
    (void)state;
    static const char *const folders[] = {"data", "d", "d1x", "dx1", "d-1", "d+1", "d7", "other"};
    struct cwsd_state own;
    struct cws_error err;
    char base[200], name[64];
    make_folder("elsewhere");
    write_file("elsewhere/state-lock", "", 0, 0600);
    make_folder("state");
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++) {
        snprintf(name, sizeof(name), "state/%s", folders[i]);
        make_folder(name);
        snprintf(name, sizeof(name), "state/%s/lock", folders[i]);
        write_file(name, "", 0, 0600);
    }
    write_file("state/data/state-lock", "", 0, 0600);
    write_file("state/d8", "a file", 6, 0600);
    make_folder("state/d9"); /* of a daemon that was killed before it had its lock */
    strcpy(base, in_root("state/d10"));
    assert_int_equal(symlink(in_root("elsewhere"), base), 0);
    strcpy(base, in_root("state"));
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_OK);
    cwsd_state_close(&own);
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++) {
        snprintf(name, sizeof(name), "state/%s/lock", folders[i]);
        if (!exists(name))
            fail_msg("%s was removed", name);
        snprintf(name, sizeof(name), "state/%s/state-lock", folders[i]);
        assert_true(exists(name) == (strcmp(folders[i], "data") == 0));
    }
    assert_true(exists("state/d8"));
    assert_false(exists("state/d9"));
    assert_true(exists("state/d10"));
    assert_true(exists("elsewhere/state-lock"));
}

static void bases_that_will_not_do(void **state)
{
    (void)state;
    struct cwsd_state own;
    struct cws_error err;
    char base[200];
    strcpy(base, in_root("open"));
    assert_int_equal(mkdir(base, 0700), 0);
    assert_int_equal(chmod(base, 0777), 0);
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "0777"));
    assert_int_equal(chmod(base, 0755), 0);
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_OK);
    cwsd_state_close(&own);
    strcpy(base, in_root("link"));
    assert_int_equal(symlink(in_root("open"), base), 0);
    assert_int_equal(cwsd_state_open(base, &own, &err), CWS_SYSTEM);
    assert_true(exists("open"));
    if (geteuid() == 0) {
        assert_int_equal(lchown(in_root("open"), 12345, 0), 0);
        strcpy(base, in_root("open"));
        assert_int_equal(cwsd_state_open(base, &own, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, "12345"));
    }
}

static void state_without_memory(void **state)
{
    (void)state;
    struct cwsd_state own;
    struct cws_error err;
    for (size_t n = 1; n <= 3; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(cwsd_state_open(in_root("run/state"), &own, &err), CWS_NO_MEMORY);
        assert_false(exists("run"));
    }
}

/* ---- a full disk ---------------------------------------------------------------------------- */

/* What a state in run/state takes: two directories for the base, its own directory and its lock. */
#define FILES_OF_A_STATE 4

enum { AS_EXPECTED, NO_NAMESPACE, NO_DISK, WRONG_RESULT, WRONG_REASON, SOMETHING_LEFT };

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Mounts a file system with room for so many files. */
static int mount_small_disk(unsigned room)
{
    char users[32], groups[32], options[64];
    snprintf(users, sizeof(users), "0 %u 1", (unsigned)geteuid());
    snprintf(groups, sizeof(groups), "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_text("/proc/self/uid_map", users) ||
        !write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/gid_map", groups))
        return NO_NAMESPACE;
    snprintf(options, sizeof(options), "mode=0700,nr_inodes=%u", room + 1); /* its root is one */
    if (mkdir(in_root("disk"), 0700) < 0 || mount("t", in_root("disk"), "tmpfs", 0, options) < 0)
        return NO_DISK;
    return AS_EXPECTED;
}

static int open_on_small_disk(unsigned room)
{
    struct cwsd_state own;
    struct cws_error err;
    int result = mount_small_disk(room);
    if (result != AS_EXPECTED)
        return result;
    enum cws_status status = cwsd_state_open(in_root("disk/run/state"), &own, &err);
    if (status == CWS_OK)
        cwsd_state_close(&own);
    if (status != (room < FILES_OF_A_STATE ? CWS_SYSTEM : CWS_OK))
        return WRONG_RESULT;
    if (status != CWS_OK && !strstr(err.text, strerror(ENOSPC)))
        return WRONG_REASON;
    return exists("disk/run") ? SOMETHING_LEFT : AS_EXPECTED;
}

/* Wherever it is that the disk ends: that is what is said, and nothing is left of the attempt. */
static void a_full_disk(void **state)
{
    (void)state;
    for (unsigned room = 0; room <= FILES_OF_A_STATE; room++) {
        int wait_status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(open_on_small_disk(room));
        assert_int_equal(waitpid(pid, &wait_status, 0), pid);
        assert_true(WIFEXITED(wait_status));
        if (WEXITSTATUS(wait_status) == NO_NAMESPACE)
            skip();
        if (WEXITSTATUS(wait_status) != AS_EXPECTED)
            fail_msg("room for %u files: %d", room, WEXITSTATUS(wait_status));
        rmdir(in_root("disk"));
    }
}

/* ---- token ---------------------------------------------------------------------------------- */

static void a_token_is_made_once(void **state)
{
    (void)state;
    char first[CWSD_TOKEN_SIZE], second[CWSD_TOKEN_SIZE];
    struct cws_error err;
    bool made;
    assert_int_equal(cwsd_token_load(in_root("token"), first, &made, &err), CWS_OK);
    assert_true(made);
    assert_int_equal(strlen(first), 64);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_int_equal(mode_of(in_root("token")), 0600);
    assert_int_equal(cwsd_token_load(in_root("token"), second, &made, &err), CWS_OK);
    assert_false(made);
    assert_string_equal(first, second);
    assert_int_equal(cwsd_token_load(in_root("other"), second, &made, &err), CWS_OK);
    assert_string_not_equal(first, second);
}

static void tokens_as_given(void **state)
{
    (void)state;
    char token[CWSD_TOKEN_SIZE], longest[CWSD_TOKEN_SIZE + 1];
    struct cws_error err;
    bool made;
    write_file("token", "a-token-0123456789", 18, 0600); /* no newline */
    assert_int_equal(cwsd_token_load(in_root("token"), token, &made, &err), CWS_OK);
    assert_string_equal(token, "a-token-0123456789");
    write_file("token", "a-token-0123456789\n", 19, 0400);
    assert_int_equal(cwsd_token_load(in_root("token"), token, &made, &err), CWS_OK);
    assert_string_equal(token, "a-token-0123456789");
    memset(longest, 'x', sizeof(longest));
    longest[CWSD_TOKEN_SIZE - 1] = '\n';
    write_file("token", longest, CWSD_TOKEN_SIZE, 0600);
    assert_int_equal(cwsd_token_load(in_root("token"), token, &made, &err), CWS_OK);
    assert_int_equal(strlen(token), CWSD_TOKEN_SIZE - 1);
    longest[CWSD_TOKEN_SIZE - 1] = 'x';
    write_file("token", longest, CWSD_TOKEN_SIZE, 0600);
    assert_int_equal(cwsd_token_load(in_root("token"), token, &made, &err), CWS_INVALID);
}

static void tokens_that_will_not_do(void **state)
{
    (void)state;
    char token[CWSD_TOKEN_SIZE];
    struct cws_error err;
    bool made;
    static const struct {
        const char *text;
        size_t len;
    } wrong[] = {{"", 0},
                 {"\n", 1},
                 {"short", 5},
                 {"two words, both long", 20},
                 {"long enough\nof two", 18},
                 {"0123456789abcdef\n\n", 18},
                 {"0123456789\0abcdef", 17},
                 {"0123456789abcde\xff", 16}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++) {
        write_file("token", wrong[i].text, wrong[i].len, 0600);
        if (cwsd_token_load(in_root("token"), token, &made, &err) != CWS_INVALID)
            fail_msg("%zu", i);
        assert_non_null(strstr(err.text, in_root("token")));
    }
    write_file("token", "a-token-0123456789", 18, 0640);
    assert_int_equal(cwsd_token_load(in_root("token"), token, &made, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "0640"));
    assert_int_equal(mkdir(in_root("dir"), 0700), 0);
    assert_int_equal(cwsd_token_load(in_root("dir"), token, &made, &err), CWS_INVALID);
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    assert_int_equal(cwsd_token_load(in_root("fifo"), token, &made, &err), CWS_INVALID);
    assert_int_equal(cwsd_token_load("/no/such/file", token, &made, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "/no/such/file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(dirs),
        STATE_TEST(dirs_that_cannot_be),
        STATE_TEST(parents_that_others_may_change),
        STATE_TEST(states_side_by_side),
        STATE_TEST(killed_while_it_starts_a_program),
        STATE_TEST(the_last_one_leaves_nothing),
        STATE_TEST(leftovers_are_removed),
        STATE_TEST(what_is_not_a_daemons_stays),
        STATE_TEST(bases_that_will_not_do),
        STATE_TEST(state_without_memory),
        STATE_TEST(a_full_disk),
        STATE_TEST(a_token_is_made_once),
        STATE_TEST(tokens_as_given),
        STATE_TEST(tokens_that_will_not_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
