/* What a host offers is found out by trying, and what it refuses is named. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>

#include "support/box_world.h"

static enum cws_status probe(const struct cwsd_host_options *options, struct cws_error *err)
{
    struct cwsd_host *host = NULL;
    struct cwsd_host_options with_init = *options;
    if (!with_init.init_path)
        with_init.init_path = init_path();
    *err = (struct cws_error){0};
    enum cws_status status = cwsd_probe_host(&with_init, &host, err);
    if (status == CWS_OK)
        cwsd_host_free(host);
    return status;
}

/* A program in a folder of its own; `content` is a script, or NULL for a copy of the init. */
struct program {
    char folder[40];
    char path[80];
};

static void make_program(struct program *program, const char *name, const char *content)
{
    char buffer[65536];
    size_t len;
    strcpy(program->folder, "/tmp/cws-test-XXXXXX");
    assert_non_null(mkdtemp(program->folder));
    assert_int_equal(chmod(program->folder, 0755), 0);
    snprintf(program->path, sizeof(program->path), "%s/%s", program->folder, name);
    FILE *to = fopen(program->path, "w");
    FILE *from = content ? NULL : fopen(init_path(), "r");
    if (content)
        fputs(content, to);
    while (from && (len = fread(buffer, 1, sizeof(buffer), from)) > 0)
        assert_int_equal(fwrite(buffer, 1, len, to), len);
    if (from)
        fclose(from);
    fclose(to);
    assert_int_equal(chmod(program->path, 0755), 0);
}

static void remove_program(struct program *program)
{
    unlink(program->path);
    rmdir(program->folder);
}

static void test_isolations(void **state)
{
    (void)state;
    struct cwsd_host *host = probe_host(CWSD_ISOLATION_OVERLAY);
    assert_int_equal(cwsd_host_isolation(host), CWSD_ISOLATION_OVERLAY);
    assert_non_null(strstr(cwsd_host_describe(host), "overlay"));
    cwsd_host_free(host);
    host = probe_host(CWSD_ISOLATION_NAMESPACES);
    assert_int_equal(cwsd_host_isolation(host), CWSD_ISOLATION_NAMESPACES);
    assert_non_null(strstr(cwsd_host_describe(host), "read-only"));
    cwsd_host_free(host);
    host = probe_host(CWSD_ISOLATION_NONE);
    assert_int_equal(cwsd_host_isolation(host), CWSD_ISOLATION_NONE);
    assert_non_null(strstr(cwsd_host_describe(host), "NONE"));
    cwsd_host_free(host);
    cwsd_host_free(NULL);
}

static void test_bubblewrap_is_missing(void **state)
{
    struct cws_error err;
    char *path = strdup(getenv("PATH"));
    (void)state;
    setenv("PATH", "/nowhere:relative", 1);
    assert_int_equal(probe(&(struct cwsd_host_options){0}, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "bubblewrap is not installed"));
    assert_non_null(strstr(err.text, "apt-get install bubblewrap"));
    setenv("PATH", path, 1);
    free(path);
    assert_int_equal(probe(&(struct cwsd_host_options){.bwrap = "/no/bwrap"}, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "/no/bwrap"));
}

static void test_init_is_missing(void **state)
{
    struct cws_error err;
    (void)state;
    assert_int_equal(probe(&(struct cwsd_host_options){.init_path = "/no/init"}, &err), CWS_SYSTEM);
    assert_string_equal(err.text, "cwsandbox-init at /no/init: No such file or directory");
    assert_int_equal(
        probe(&(struct cwsd_host_options){.init_path = "/no/init", .allow_none = true}, &err),
        CWS_SYSTEM);
}

static void test_state_dir_in_sight(void **state)
{
    struct cws_error err;
    (void)state;
    assert_int_equal(probe(&(struct cwsd_host_options){.state_dir = "/usr/lib"}, &err),
                     CWS_INVALID);
    assert_string_equal(err.text,
                        "the state directory /usr/lib must not be below /usr: sandboxes see that");
    assert_int_equal(probe(&(struct cwsd_host_options){.state_dir = "/tmp"}, &err), CWS_OK);
}

static void test_bubblewrap_refuses(void **state)
{
    struct program bwrap;
    struct cws_error err;
    (void)state;
    make_program(&bwrap, "bwrap",
                 "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n");
    assert_int_equal(probe(&(struct cwsd_host_options){.bwrap = bwrap.path}, &err), CWS_SYSTEM);
    assert_string_equal(
        err.text, "no sandbox could be set up: bwrap: No permissions to create new namespace");
    remove_program(&bwrap);
    make_program(&bwrap, "bwrap", "#!/bin/sh\nexit 3\n");
    assert_int_equal(probe(&(struct cwsd_host_options){.bwrap = bwrap.path}, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "bubblewrap ended with 3"));
    remove_program(&bwrap);
}

/* Probes in a child; `text` is the host's description, or what the probe failed with. */
static void in_child(void (*prepare)(void), const struct cwsd_host_options *options, char *text,
                     size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct cws_error err;
        prepare();
        struct cwsd_host *host;
        struct cwsd_host_options with_init = *options;
        if (!with_init.init_path)
            with_init.init_path = init_path();
        const char *said = cwsd_probe_host(&with_init, &host, &err) == CWS_OK
                               ? cwsd_host_describe(host)
                               : err.text;
        _exit(write(ends[1], said, strlen(said)) < 0);
    }
    close(ends[1]);
    ssize_t len = read(ends[0], text, size - 1);
    text[len > 0 ? len : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(1);
    close(fd);
}

static void turn_off_user_namespaces(void)
{
    char map[32];
    snprintf(map, sizeof(map), "0 %u 1", geteuid());
    if (unshare(CLONE_NEWUSER) != 0)
        _exit(1);
    write_text("/proc/self/uid_map", map);
    write_text("/proc/sys/user/max_user_namespaces", "0");
}

static void test_user_namespaces_are_off(void **state)
{
    char text[600];
    (void)state;
    in_child(turn_off_user_namespaces, &(struct cwsd_host_options){0}, text, sizeof(text));
    assert_non_null(strstr(text, "user.max_user_namespaces is 0"));
}

static void become_nobody(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
        setresuid(65534, 65534, 65534) != 0)
        _exit(1);
}

static void test_ordinary_user(void **state)
{
    struct program init;
    char text[600];
    (void)state;
    if (geteuid() != 0)
        skip(); /* then all the other tests are this one */
    make_program(&init, "cwsandbox-init", NULL);
    in_child(become_nobody, &(struct cwsd_host_options){.init_path = init.path}, text,
             sizeof(text));
    assert_non_null(strstr(text, "writable overlay"));
    assert_non_null(strstr(text, "what belongs to other users"));
    remove_program(&init);
}

static void stay(void) {}

/* As in a container whose root was denied that. */
static void lose_setuid(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (prctl(PR_CAPBSET_DROP, CAP_SETUID) != 0 || syscall(SYS_capget, &header, data) != 0)
        _exit(1);
    data[0].permitted &= ~(1u << CAP_SETUID);
    data[0].effective = data[0].permitted;
    if (syscall(SYS_capset, &header, data) != 0)
        _exit(1);
}

/* As in a container of which the kernel knows one user only. */
static void be_alone(void)
{
    if (unshare(CLONE_NEWUSER) != 0)
        _exit(1);
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 0 1");
    write_text("/proc/self/gid_map", "0 0 1");
}

/* As under AppArmor's profile for bubblewrap: namespaces are there, but nothing can be mounted from
 * inside. */
static void test_init_may_not_mount(void **state)
{
    static const char script[] = "#!/bin/sh\n"
                                 "for word in \"$@\"; do shift; "
                                 "[ \"$word\" = -- ] && set -- \"$@\" --cap-drop CAP_SYS_ADMIN; "
                                 "set -- \"$@\" \"$word\"; done\n"
                                 "PATH=/usr/local/bin:/usr/bin:/bin exec bwrap \"$@\"\n";
    struct program init, bwrap;
    char text[800];
    (void)state;
    make_program(&init, "cwsandbox-init", NULL);
    make_program(&bwrap, "bwrap", script);
    struct cwsd_host_options options = {.bwrap = bwrap.path, .init_path = init.path};
    void (*const prepare[])(void) = {stay, become_nobody, lose_setuid};
    for (size_t i = 0; i < (geteuid() == 0 ? 3 : 1); i++) {
        in_child(prepare[i], &options, text, sizeof(text));
        /* Without its mounts root would have root's hands on the kernel's settings. */
        const char *expected = prepare[i] == lose_setuid
                                   ? "no sandbox could be set up: cwsandbox-init, "
                                   : "read-only, tmpfs elsewhere; no overlay: cwsandbox-init, "
                                     "making the mounts private /: Operation not permitted";
        assert_non_null(strstr(text, expected));
    }
    remove_program(&bwrap);
    remove_program(&init);
}

/* ---- root's sandboxes are not root ---------------------------------------------------------- */

static void test_users_of_their_own(void **state)
{
    char text[800];
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can become others */
    in_child(stay, &(struct cwsd_host_options){0}, text, sizeof(text));
    assert_non_null(strstr(text, "each sandbox is a user of its own to this host"));
    assert_null(strstr(text, "root"));
}

/* Where nobody but them can execute it: the file and its folder are root's alone. */
static void test_init_that_only_root_can_reach(void **state)
{
    struct program init;
    char text[800];
    (void)state;
    make_program(&init, "cwsandbox-init", NULL);
    assert_int_equal(chmod(init.path, 0700), 0);
    assert_int_equal(chmod(init.folder, 0700), 0);
    in_child(stay, &(struct cwsd_host_options){.init_path = init.path}, text, sizeof(text));
    assert_non_null(strstr(text, "writable overlay"));
    remove_program(&init);
}

static void test_bubblewrap_that_only_root_can_reach(void **state)
{
    struct program bwrap;
    char text[800];
    (void)state;
    make_program(&bwrap, "bwrap",
                 "#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin exec bwrap \"$@\"\n");
    assert_int_equal(chmod(bwrap.folder, 0700), 0);
    in_child(stay, &(struct cwsd_host_options){.bwrap = bwrap.path}, text, sizeof(text));
    assert_non_null(strstr(text, "writable overlay"));
    remove_program(&bwrap);
}

static void test_root_that_cannot_become_others(void **state)
{
    char text[800];
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(lose_setuid, &(struct cwsd_host_options){0}, text, sizeof(text));
    assert_non_null(strstr(text, "a sandbox's root is this user, root, to this host: the daemon "
                                 "may not start programs as other users"));
    in_child(be_alone, &(struct cwsd_host_options){0}, text, sizeof(text));
    assert_non_null(strstr(text, "a sandbox's root is this user, root, to this host: there are no "
                                 "others in this user namespace"));
}

/* That bubblewrap fails for others does not make root's sandboxes root: only a host that refuses
 * the others does. */
static void test_bubblewrap_for_root_only(void **state)
{
    struct program bwrap;
    char text[800];
    (void)state;
    if (geteuid() != 0)
        skip();
    make_program(&bwrap, "bwrap",
                 "#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\n"
                 "[ $(id -u) = 0 ] || { echo 'bwrap: not for you' >&2; exit 1; }\n"
                 "exec bwrap \"$@\"\n");
    struct cwsd_host_options options = {.bwrap = bwrap.path};
    in_child(stay, &options, text, sizeof(text));
    assert_string_equal(text, "no sandbox could be set up: bwrap: not for you");
    assert_int_equal(chmod(bwrap.path, 0700), 0);
    in_child(stay, &options, text, sizeof(text));
    assert_non_null(strstr(text, "/bwrap: Permission denied"));
    in_child(lose_setuid, &options, text, sizeof(text));
    assert_non_null(strstr(text, "a sandbox's root is this user, root"));
    remove_program(&bwrap);
}

static int set_up(void **state)
{
    (void)state;
    return getenv("PATH") ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_isolations),
        UNIT_TEST(test_bubblewrap_is_missing),
        UNIT_TEST(test_init_is_missing),
        UNIT_TEST(test_state_dir_in_sight),
        UNIT_TEST(test_bubblewrap_refuses),
        UNIT_TEST(test_user_namespaces_are_off),
        UNIT_TEST(test_ordinary_user),
        UNIT_TEST(test_init_may_not_mount),
        UNIT_TEST(test_users_of_their_own),
        UNIT_TEST(test_init_that_only_root_can_reach),
        UNIT_TEST(test_bubblewrap_that_only_root_can_reach),
        UNIT_TEST(test_root_that_cannot_become_others),
        UNIT_TEST(test_bubblewrap_for_root_only),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
