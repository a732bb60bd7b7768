/* What a command finds in a box: the host's programs, and nothing else of the host. */
#include "support/box_hosts.h"

static void test_host_is_not_visible(void **state)
{
    static const char *const places[] = {"/tmp", "/var/tmp", "/root", "/home",
                                         "/srv", "/mnt",     "/run"};
    struct box_world world;
    (void)state;
    world_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(places); i++) {
        char path[200], script[700];
        snprintf(path, sizeof(path), "%s/%s", places[i], unique_name());
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (fd < 0)
            continue; /* not ours to write to */
        snprintf(script, sizeof(script), "[ ! -e %s ] && [ -d %s ] && : > %s", path, places[i],
                 path);
        int exit_code = run_script(&world, script);
        struct stat status;
        int still_empty = fstat(fd, &status) == 0 && status.st_nlink == 1;
        close(fd);
        unlink(path);
        assert_int_equal(exit_code, 0);
        assert_true(still_empty);
    }
    assert_int_equal(run_script(&world,
                                "for f in /etc/shadow /etc/ssh /etc/pip.conf /etc/gitconfig "
                                "/etc/ssl/private /etc/profile.d /etc/machine-id /.cwsandbox "
                                "/boot /sys; do [ ! -e $f ] || exit 1; done"),
                     0);
    world_close(&world);
}

static void test_writes_stay_inside(void **state)
{
    struct box_world world;
    char script[400], path[200];
    const char *name = unique_name();
    (void)state;
    world_open(&world, host);
    assert_int_equal(cwsd_host_isolation(host), CWSD_ISOLATION_OVERLAY);
    snprintf(script, sizeof(script),
             "set -e; for d in /usr/local/bin /usr/bin /usr/lib /opt /etc / /tmp /var/lib; do "
             "echo x > $d/%s; [ $(cat $d/%s) = x ]; done; rm /usr/bin/env; [ ! -e /usr/bin/env ]",
             name, name);
    assert_int_equal(run_script(&world, script), 0);
    snprintf(path, sizeof(path), "/usr/local/bin/%s", name);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "/usr/bin/%s", name);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access("/usr/bin/env", X_OK), 0);
    world_close(&world);
}

static void test_without_overlay(void **state)
{
    struct box_world world;
    (void)state;
    world_open(&world, host_without_overlay);
    assert_int_equal(cwsd_host_isolation(host_without_overlay), CWSD_ISOLATION_NAMESPACES);
    assert_int_equal(run_script(&world,
                                "(: > /usr/bin/x) 2>/dev/null && exit 1; "
                                "for d in / /tmp /var/tmp /root /home /etc /workspace /run; do "
                                "echo x > $d/x || exit 2; done; [ ! -e /etc/shadow ] && [ -e "
                                "/etc/ld.so.cache ] && [ ! -e /.cwsandbox ] && python3 -c '' && "
                                "python -c ''"),
                     0);
    world_close(&world);
}

static void test_privileges(void **state)
{
    static const char *const scripts[] = {
        /* no new ones, and few of the old */
        "grep -q '^NoNewPrivs:.1$' /proc/self/status",
        "[ $(sed -n 's/^CapEff:.//p' /proc/self/status) = 00000000000404fb ]",
        "[ $(sed -n 's/^CapBnd:.//p' /proc/self/status) = 00000000000404fb ]",
        "[ $(sed -n 's/^CapAmb:.//p' /proc/self/status) = 0000000000000000 ]",
        "! unshare -U true",
        "! unshare -m true",
        "! mount -t tmpfs x /mnt",
        "! umount /usr",
        "! mount -o remount,rw /proc/sys",
        /* the kernel's settings, and what is only root's */
        "! (: >> /proc/sys/kernel/core_pattern)",
        "! (: >> /proc/sys/kernel/hostname)",
        "[ ! -e /proc/sysrq-trigger ] || ! (: > /proc/sysrq-trigger) || [ ! -s /proc/sysrq-trigger "
        "]",
        "[ -z \"$(cat /proc/slabinfo /proc/kmsg /proc/kcore 2>/dev/null | head -c 1)\" ]",
        "[ $(ulimit -c) = 0 ] && [ $(ulimit -Sn) -le 1024 ]",
        /* keyrings, which are the host's, and some more of the kernel */
        "grep -q '^Seccomp:.2$' /proc/self/status",
        "python3 -c 'import ctypes, errno, platform\n"
        "c = ctypes.CDLL(None, use_errno=True)\n"
        "calls = {\"x86_64\": (250, 425, 0x40000000 + 39), \"aarch64\": (219, 425)}\n"
        "for call in calls[platform.machine()]:\n"
        "    assert c.syscall(call, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == errno.ENOSYS, "
        "call'",
        /* it is root of its own, and may own things */
        "[ $(id -u) = 0 ] && touch /tmp/f && chown 0:0 /tmp/f && [ $(hostname) = test ]",
        "[ -w /proc/self/comm ]",
    };
    const struct cwsd_host *hosts[] = {host, host_without_overlay};
    struct box_world world;
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        world_open(&world, hosts[i]);
        box_start_script(&world, KEEP_ALIVE);
        RUN_UNTIL(&world, world.running);
        for (size_t j = 0; j < CWS_ARRAY_LEN(scripts); j++)
            expect_script(&world, scripts[j], 0, "");
        box_close(&world);
    }
}

static void test_environment(void **state)
{
    struct box_world world;
    struct exec_world run;
    char *argv[] = {(char *)"env", NULL};
    char *of_box[] = {(char *)"A=box", (char *)"B=box", (char *)"LANG=de_DE.UTF-8", NULL};
    char *of_exec[] = {(char *)"B=exec", (char *)"C=with=sign", NULL};
    char *keep_alive[] = {(char *)"/bin/sh", (char *)"-c", (char *)KEEP_ALIVE, NULL};
    (void)state;
    setenv("CWS_TEST_SECRET", "secret", 1);
    world_open(&world, host);
    box_start(&world, &(struct cwsd_box_options){
                          .id = "Box_1", .command = {keep_alive, 3}, .environment = {of_box, 3}});
    RUN_UNTIL(&world, world.running);
    exec_open(&run, &world,
              &(struct cwsd_exec_options){.command = {argv, 1}, .environment = {of_exec, 2}});
    exec_wait(&run);
    char path[200];
    const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    snprintf(path, sizeof(path), "SHELL=%s\nUSER=root\n", shell);
    const char *text = text_of(&run.out);
    const char *expected =
        "A=box\nB=exec\nC=with=sign\nHOME=/root\nHOSTNAME=Box1\nLANG=de_DE.UTF-8\n"
        "LOGNAME=root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
        "/bin\nPIP_BREAK_SYSTEM_PACKAGES=1\nPIP_ROOT_USER_ACTION=ignore\n";
    assert_true(strncmp(text, expected, strlen(expected)) == 0);
    assert_string_equal(text + strlen(expected), path);
    exec_close(&run);
    expect_script(&world, "cat /proc/[0-9]*/environ 2>/dev/null | grep -c CWS_TEST_SECRET", 1,
                  "0\n");
    unsetenv("CWS_TEST_SECRET");
    box_close(&world);
}

static void test_programs(void **state)
{
    static const char *const scripts[] = {
        "python -c 'import sys; assert sys.version_info >= (3, 11)'",
        "python3 -c 'import ssl, ctypes, sqlite3; ssl.create_default_context()'",
        "env -i /bin/sh -lc 'python -c \"\" && [ \"$PATH\" ]'",
        "env -i /bin/bash -lc 'python3 -c \"\" && command -v sort > /dev/null'",
        "[ \"$(whoami)\" = root ] && [ ~ = /root ] && [ -d /workspace ] && [ $PWD = / ]",
        "[ $(getent hosts localhost | wc -l) -gt 0 ] && getent services ssh > /dev/null",
        "awk 'BEGIN {exit 0}' && perl -e 1 && [ -e /etc/ssl/certs ] && [ ! -e /etc/ssl/private ]",
        "python3 -m pip --version > /dev/null 2>&1 || ! command -v pip",
        "[ $(ls /proc/self/fd | wc -l) = 4 ]",
        "[ $(sed 's/.*) //' /proc/$$/stat | cut -d ' ' -f 3) = $$ ] && "
        "[ $(sed 's/.*) //' /proc/$$/stat | cut -d ' ' -f 4) = $$ ]",
        "python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 80)); "
        "socket.create_connection(s.getsockname())'",
        "python3 -c 'import multiprocessing as m; m.Lock(); import os; os.openpty()'",
        "[ \"$(stat -c %a /tmp)\" = 1777 ] && [ -c /dev/null ] && [ -d /dev/shm ]",
    };
    struct box_world world;
    (void)state;
    box_open(&world, host);
    for (size_t i = 0; i < CWS_ARRAY_LEN(scripts); i++)
        expect_script(&world, scripts[i], 0, "");
    box_close(&world);
}

/* ---- a user of its own, when the daemon is root --------------------------------------------- */

/* The user of the host that root of the box is; 0 also when that cannot be read. */
static unsigned long user_of(struct box_world *world)
{
    struct exec_world run;
    unsigned long inside = 1, outside = 0, count = 0;
    exec_open_script(&run, world, "cat /proc/self/uid_map", false);
    exec_wait(&run);
    assert_int_equal(sscanf(text_of(&run.out), "%lu %lu %lu", &inside, &outside, &count), 3);
    assert_int_equal(inside, 0);
    assert_int_equal(count, 1);
    exec_close(&run);
    return outside;
}

/* The number behind `key` in a file of /proc. */
static unsigned long number_in(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    assert_true(len > 0);
    close(fd);
    text[len] = '\0';
    assert_non_null(strstr(text, key));
    return strtoul(strstr(text, key) + strlen(key), NULL, 10);
}

static void test_each_is_a_user(void **state)
{
    const struct cwsd_host *hosts[] = {host, host};
    struct box_world worlds[2];
    unsigned long users[2];
    char path[64];
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < CWS_ARRAY_LEN(worlds); i++) {
        world_open(&worlds[i], hosts[i]);
        box_start_script(&worlds[i], KEEP_ALIVE);
        RUN_UNTIL(&worlds[i], worlds[i].running);
        users[i] = user_of(&worlds[i]);
        /* What the box says itself is what the host says of its init. */
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", worlds[i].box->init.fd);
        snprintf(path, sizeof(path), "/proc/%lu/status", number_in(path, "\nPid:"));
        assert_int_equal(number_in(path, "\nUid:"), users[i]);
        assert_int_equal(number_in(path, "\nGid:"), users[i]);
        assert_true(users[i] >= 65536);
        expect_script(&worlds[i], "sed -n 's/^Groups:[^0-9]*//p' /proc/self/status | tr -d ' '", 0,
                      "\n");
    }
    assert_int_not_equal(users[0], users[1]);
    cwsd_box_stop(worlds[1].box, 0);
    box_end(&worlds[1]);
    box_start_script(&worlds[1], KEEP_ALIVE);
    RUN_UNTIL(&worlds[1], worlds[1].running);
    assert_int_not_equal(users[0], user_of(&worlds[1]));
    cwsd_box_stop(worlds[1].box, 0);
    box_end(&worlds[1]);
    cws_loop_free(worlds[1].loop);
    box_close(&worlds[0]);
}

/* Names and contents of what lies in sight but is root's alone. */
static void test_files_of_root_stay_closed(void **state)
{
    char folder[] = "/opt/cws-test-XXXXXX", file[64], inner[64], deep[64], script[1000];
    struct box_world world;
    (void)state;
    if (geteuid() != 0 || !mkdtemp(folder))
        skip();
    snprintf(file, sizeof(file), "%s/file", folder);
    snprintf(inner, sizeof(inner), "%s/inner", folder);
    snprintf(deep, sizeof(deep), "%s/inner/deep", folder);
    int fd = open(file, O_CREAT | O_EXCL | O_WRONLY, 0600);
    bool made = fd >= 0 && write(fd, "secret", 6) == 6 && mkdir(inner, 0700) == 0 &&
                mkdir(deep, 0755) == 0 && chmod(folder, 0755) == 0;
    close(fd);
    snprintf(script, sizeof(script),
             "[ -e %s ] && ! cat %s 2>/dev/null && ! cp %s /tmp/copy 2>/dev/null && "
             "! (echo x >> %s) 2>/dev/null && ! ls %s 2>/dev/null && [ ! -e %s ]",
             file, file, file, file, inner, deep);
    struct cwsd_host *later = probe_host(CWSD_ISOLATION_OVERLAY); /* it sees the folders */
    const struct cwsd_host *all[] = {host, host_without_overlay, later};
    int codes[3];
    world_open(&world, host);
    for (size_t i = 0; i < 3; i++) {
        world.host = all[i];
        codes[i] = run_script(&world, script);
    }
    rmdir(deep);
    rmdir(inner);
    unlink(file);
    rmdir(folder);
    world_close(&world);
    cwsd_host_free(later);
    assert_true(made);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(codes[i], 0);
}

/* The pipes are the daemon's, and still the command's to open by name. */
static void test_standard_streams_by_name(void **state)
{
    struct box_world world;
    struct exec_world run;
    (void)state;
    box_open(&world, host);
    exec_open_script(&run, &world, "cat /dev/stdin > /dev/stdout; echo bad > /dev/stderr", true);
    assert_int_equal(cwsd_exec_write(run.exec, (const uint8_t *)"good", 4), CWS_OK);
    cwsd_exec_close_stdin(run.exec);
    exec_wait(&run);
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(text_of(&run.out), "good");
    assert_string_equal(text_of(&run.complaints), "bad\n");
    exec_close(&run);
    box_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_host_is_not_visible),
        UNIT_TEST(test_writes_stay_inside),
        UNIT_TEST(test_without_overlay),
        UNIT_TEST(test_privileges),
        UNIT_TEST(test_environment),
        UNIT_TEST(test_programs),
        UNIT_TEST(test_each_is_a_user),
        UNIT_TEST(test_files_of_root_stay_closed),
        UNIT_TEST(test_standard_streams_by_name),
    };
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
