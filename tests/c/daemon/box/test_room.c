/* cwsandboxd/room, netns: boxes that have a network, a user and limits in common, and nothing else.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include "box/box_private.h"
#include "box/host_private.h"
#include "box/room_private.h"
#include "support/box_hosts.h"

#define BOXES 3

/* A world for each box, on one loop. */
struct pod {
    struct cwsd_room *room;
    struct box_world worlds[BOXES];
};

static void pod_open(struct pod *pod, const struct cwsd_host *on)
{
    struct cws_error err;
    world_open(&pod->worlds[0], on);
    for (size_t i = 1; i < BOXES; i++)
        pod->worlds[i] =
            (struct box_world){.host = on, .exit_code = -1, .loop = pod->worlds[0].loop};
    if (cwsd_room_new(on, BOXES, &pod->room, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static void pod_start(struct pod *pod, size_t at, const char *script)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    box_start(&pod->worlds[at],
              &(struct cwsd_box_options){.id = "pod", .room = pod->room, .command = {argv, 3}});
}

static void pod_run(struct pod *pod)
{
    for (size_t i = 0; i < BOXES; i++)
        pod_start(pod, i, KEEP_ALIVE);
    for (size_t i = 0; i < BOXES; i++) {
        RUN_UNTIL(&pod->worlds[i], pod->worlds[i].running || pod->worlds[i].gone);
        if (pod->worlds[i].gone)
            fail_msg("%s", pod->worlds[i].err.text);
    }
}

static void pod_close(struct pod *pod)
{
    for (size_t i = 0; i < BOXES; i++)
        if (pod->worlds[i].box)
            cwsd_box_stop(pod->worlds[i].box, 0);
    for (size_t i = 0; i < BOXES; i++)
        if (pod->worlds[i].box)
            box_end(&pod->worlds[i]);
    cwsd_room_free(pod->room);
    world_close(&pod->worlds[0]);
}

/* What a command in one of the boxes writes, which must succeed. */
static void say(struct pod *pod, size_t at, const char *script, char *text, size_t size)
{
    struct exec_world run;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    exec_open(&run, &pod->worlds[at], &(struct cwsd_exec_options){.command = {argv, 3}});
    RUN_UNTIL(&pod->worlds[at], run.exited || run.failed);
    if (run.exit_code != 0)
        fail_msg("box %zu, %s: %d, %s", at, script, run.exit_code, text_of(&run.complaints));
    assert_true((size_t)snprintf(text, size, "%s", text_of(&run.out)) < size);
    exec_close(&run);
}

static long number(struct pod *pod, size_t at, const char *script)
{
    char text[200];
    say(pod, at, script, text, sizeof(text));
    return strtol(text, NULL, 10);
}

static void own_network(char *text, size_t size)
{
    ssize_t len = readlink("/proc/self/ns/net", text, size - 1);
    assert_true(len > 0);
    text[len] = '\0';
}

static const struct cwsd_host *hosts(size_t at)
{
    return at == 0 ? host : host_without_overlay;
}

static void test_one_network(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        struct pod pod;
        char ours[100], first[100], other[100];
        pod_open(&pod, hosts(kind));
        pod_run(&pod);
        own_network(ours, sizeof(ours));
        say(&pod, 0, "readlink /proc/self/ns/net", first, sizeof(first));
        assert_string_not_equal(ours, strtok(first, "\n"));
        for (size_t i = 1; i < BOXES; i++) {
            say(&pod, i, "readlink /proc/self/ns/net", other, sizeof(other));
            assert_string_equal(first, strtok(other, "\n"));
        }
        /* Nothing but the loopback device. */
        for (size_t i = 0; i < BOXES; i++)
            assert_int_equal(number(&pod, i, "tail -n +3 /proc/net/dev | grep -vc ' lo:'; :"), 0);
        pod_close(&pod);
    }
}

/* One listens, on a port that needs a right elsewhere; another one connects. */
static void test_they_reach_each_other(void **state)
{
    (void)state;
    static const char listen[] =
        "exec python3 -c \"import socket; s = socket.create_server(('127.0.0.1', 80))\n"
        "while True: c = s.accept()[0]; c.sendall(b'42'); c.close()\"";
    static const char connect[] =
        "exec python3 -c \"import socket, time\n"
        "while True:\n"
        " try: print(socket.create_connection(('127.0.0.1', 80)).recv(9).decode()); break\n"
        " except ConnectionRefusedError: time.sleep(0.02)\"";
    struct pod pod;
    char text[100];
    pod_open(&pod, host);
    pod_start(&pod, 0, KEEP_ALIVE);
    pod_start(&pod, 1, listen);
    pod_start(&pod, 2, KEEP_ALIVE);
    for (size_t i = 0; i < BOXES; i++)
        RUN_UNTIL(&pod.worlds[i], pod.worlds[i].running);
    say(&pod, 2, connect, text, sizeof(text));
    assert_string_equal(text, "42\n");
    pod_close(&pod);
}

static void test_all_else_is_its_own(void **state)
{
    (void)state;
    static const char *const namespaces[] = {"user", "pid", "mnt", "ipc", "uts"};
    for (size_t kind = 0; kind < 2; kind++) {
        struct pod pod;
        char script[100], one[100], two[100];
        pod_open(&pod, hosts(kind));
        pod_run(&pod);
        for (size_t i = 0; i < CWS_ARRAY_LEN(namespaces); i++) {
            snprintf(script, sizeof(script), "readlink /proc/self/ns/%s", namespaces[i]);
            say(&pod, 0, script, one, sizeof(one));
            say(&pod, 1, script, two, sizeof(two));
            assert_string_not_equal(one, two);
        }
        say(&pod, 0, "echo x > /tmp/file; echo x > /dev/shm/file; echo x > /root/file", one,
            sizeof(one));
        assert_int_equal(number(&pod, 1, "ls /tmp /dev/shm /root | grep -c file; :"), 0);
        /* The commands' shell and the init, the idle main command's shell and its sleep, no more.
         */
        assert_true(number(&pod, 1, "ls -d /proc/[0-9]* | wc -l") <= 7);
        /* No box can make a user namespace, or change the network. */
        say(&pod, 1, "cat /proc/sys/user/max_user_namespaces", one, sizeof(one));
        assert_string_equal(one, "0\n");
        assert_true(number(&pod, 1, "ip link set lo down 2> /dev/null; echo $?") != 0);
        pod_close(&pod);
    }
}

static uid_t owner_of(const struct box_world *world)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", world->box->init.fd);
    FILE *info = fopen(path, "r");
    int pid = 0;
    char line[100];
    while (fgets(line, sizeof(line), info))
        sscanf(line, "Pid: %d", &pid);
    fclose(info);
    assert_true(pid > 0);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    info = fopen(path, "r");
    status.st_uid = 0;
    while (fgets(line, sizeof(line), info))
        sscanf(line, "Uid: %u", &status.st_uid);
    fclose(info);
    return status.st_uid;
}

/* Which no other sandbox has. */
static void test_one_user(void **state)
{
    (void)state;
    struct pod pod;
    pod_open(&pod, host);
    pod_run(&pod);
    for (size_t i = 0; i < BOXES; i++)
        assert_int_equal(owner_of(&pod.worlds[i]), pod.room->user);
    assert_int_equal(pod.room->user != 0, host->users != NULL);
    if (host->users)
        assert_int_not_equal(cwsd_users_take(host->users), pod.room->user);
    pod_close(&pod);
}

static void test_limits_are_divided(void **state)
{
    (void)state;
    struct pod pod;
    pod_open(&pod, host);
    pod_run(&pod);
    for (size_t i = 0; i < BOXES; i++) {
        long kib = number(&pod, i, "df -k / | tail -n 1 | awk '{print $2}'");
        uint64_t part = host->limits.written_bytes / BOXES;
        if ((uint64_t)kib * 1024 > part + 4096 || (uint64_t)kib * 1024 + 4096 < part)
            fail_msg("%ld KiB of %llu bytes", kib, (unsigned long long)part);
        if (host->process_count == CWSD_COUNT_OWN)
            assert_int_equal(number(&pod, i,
                                    "python3 -c 'import resource as r; "
                                    "print(r.getrlimit(r.RLIMIT_NPROC)[1])'"),
                             host->limits.processes / BOXES);
    }
    pod_close(&pod);
}

/* Containers need not come at the same time: what the first has made waits for the others. */
static void test_one_that_comes_late(void **state)
{
    (void)state;
    struct pod pod;
    char one[100], two[100];
    pod_open(&pod, host);
    pod_start(&pod, 0, KEEP_ALIVE);
    pod_start(&pod, 1, KEEP_ALIVE);
    for (size_t i = 0; i < 2; i++)
        RUN_UNTIL(&pod.worlds[i], pod.worlds[i].running);
    say(&pod, 1, "readlink /proc/self/ns/net", one, sizeof(one));
    for (size_t i = 0; i < 2; i++) {
        cwsd_box_stop(pod.worlds[i].box, 0);
        box_end(&pod.worlds[i]);
    }
    pod_start(&pod, 2, KEEP_ALIVE);
    RUN_UNTIL(&pod.worlds[2], pod.worlds[2].running);
    say(&pod, 2, "readlink /proc/self/ns/net", two, sizeof(two));
    assert_string_equal(one, two);
    pod_close(&pod);
}

/* Without isolation there is nothing to share. */
static void test_no_isolation(void **state)
{
    (void)state;
    struct pod pod;
    char ours[100], theirs[100];
    pod_open(&pod, host_none);
    pod_run(&pod);
    own_network(ours, sizeof(ours));
    for (size_t i = 0; i < BOXES; i++) {
        say(&pod, i, "readlink /proc/self/ns/net", theirs, sizeof(theirs));
        assert_string_equal(strtok(theirs, "\n"), ours);
    }
    pod_close(&pod);
}

/* ---- what goes wrong ------------------------------------------------------------------------ */

/* The first box never comes to make the network: the others do not wait for ever, and above all do
 * not run in the host's. */
static void test_the_network_is_never_made(void **state)
{
    (void)state;
    struct pod pod;
    pod_open(&pod, host);
    uid_t user = pod.room->user;
    pod.room->netns.others = 0; /* it keeps it to itself */
    for (size_t i = 0; i < BOXES; i++)
        pod_start(&pod, i, KEEP_ALIVE);
    RUN_UNTIL(&pod.worlds[0], pod.worlds[0].running);
    for (size_t i = 1; i < BOXES; i++) {
        RUN_UNTIL(&pod.worlds[i], pod.worlds[i].gone);
        assert_false(pod.worlds[i].running);
        if (!strstr(pod.worlds[i].err.text, "the sandbox's shared network"))
            fail_msg("%s", pod.worlds[i].err.text);
    }
    pod.room->user = user;
    pod_close(&pod);
}

static void test_without_descriptors(void **state)
{
    (void)state;
    struct rlimit all, none;
    struct cwsd_room *room = NULL;
    struct cws_error err;
    getrlimit(RLIMIT_NOFILE, &all);
    none = all;
    none.rlim_cur = 0;
    unsigned before = count_entries("/proc/self/fd");
    setrlimit(RLIMIT_NOFILE, &none);
    enum cws_status status = cwsd_room_new(host, 2, &room, &err);
    setrlimit(RLIMIT_NOFILE, &all);
    assert_int_equal(status, CWS_SYSTEM);
    assert_null(room);
    assert_int_equal(count_entries("/proc/self/fd"), before);
}

static void test_without_memory(void **state)
{
    (void)state;
    struct cwsd_room *room = NULL;
    struct cws_error err;
    cws_alloc_fail_at(1);
    assert_int_equal(cwsd_room_new(host, 2, &room, &err), CWS_NO_MEMORY);
    cws_alloc_fail_at(0);
    cwsd_room_free(room);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_one_network),         UNIT_TEST(test_they_reach_each_other),
    UNIT_TEST(test_all_else_is_its_own), UNIT_TEST(test_one_user),
    UNIT_TEST(test_limits_are_divided),  UNIT_TEST(test_one_that_comes_late),
    UNIT_TEST(test_no_isolation),        UNIT_TEST(test_the_network_is_never_made),
    UNIT_TEST(test_without_descriptors), UNIT_TEST(test_without_memory),
};

int main(void)
{
    return cmocka_run_group_tests(tests, probe_hosts, free_hosts);
}
