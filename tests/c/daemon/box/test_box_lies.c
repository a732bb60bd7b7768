/* What a box makes of an init that a sandbox has got hold of: its reports come in any order. */
#include <errno.h>

#include "box/probe.h"
#include "support/op_world.h"

/* ---- the init ------------------------------------------------------------------------------- */

static void say(uint32_t op, uint32_t id)
{
    struct cwsi_report report = {.op = op, .id = id};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_base = &report, .iov_len = sizeof(report)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int pidfd = open_pid(getpid());
    if (op == CWSI_HELLO) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pidfd, sizeof(pidfd));
    }
    ssize_t sent = sendmsg(CWSI_SOCKET, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EPERM) { /* descriptors are not taken any more */
        message.msg_controllen = 0;
        sent = sendmsg(CWSI_SOCKET, &message, MSG_NOSIGNAL);
    }
    if (sent < 0)
        _exit(1);
}

/* What this program does when it is started as an init: its name says which lie. */
struct lie {
    const char *name;
    uint32_t first[6][2]; /* the reports at its start; none: those of an honest one */
    uint32_t then[4][2];  /* those once it is asked to start command 1 */
    uint64_t size;        /* of the file, once it is asked to read one ... */
    size_t content;       /* ... and how much it sends of it */
};

static const uint32_t honest[][2] = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_STARTED, 0}, {0, 0}};

static const struct lie about_itself[] = {
    {.name = "started-before-ready", .first = {{CWSI_HELLO, 0}, {CWSI_STARTED, 0}}},
    {.name = "no-hello", .first = {{CWSI_READY, 0}, {CWSI_STARTED, 0}}},
    {.name = "hello-twice", .first = {{CWSI_HELLO, 0}, {CWSI_HELLO, 0}}},
    {.name = "ready-twice", .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_READY, 0}}},
    {.name = "unknown-command",
     .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_STARTED, 0}, {CWSI_EXITED, 7}}},
    {.name = "unknown-failure",
     .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_STARTED, 0}, {CWSI_FAILED, 7}}},
    {.name = "started-twice",
     .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_STARTED, 0}, {CWSI_STARTED, 0}}},
    {.name = "exited-early", .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_EXITED, 0}}},
    {.name = "id-out-of-range",
     .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_STARTED, 1u << 30}}},
    {.name = "no-op", .first = {{CWSI_HELLO, 0}, {99, 0}}},
    {.name = "failed-and-started",
     .first = {{CWSI_HELLO, 0}, {CWSI_READY, 0}, {CWSI_FAILED, 0}, {CWSI_STARTED, 0}}},
};

static const struct lie about_a_command[] = {
    {.name = "command-exited-early", .then = {{CWSI_EXITED, 1}}},
    {.name = "command-started-twice", .then = {{CWSI_STARTED, 1}, {CWSI_STARTED, 1}}},
    {.name = "command-failed-late", .then = {{CWSI_STARTED, 1}, {CWSI_FAILED, 1}}},
    {.name = "command-failed-twice", .then = {{CWSI_FAILED, 1}, {CWSI_FAILED, 1}}},
    {.name = "command-failed-and-started", .then = {{CWSI_FAILED, 1}, {CWSI_STARTED, 1}}},
    {.name = "command-exited-twice",
     .then = {{CWSI_STARTED, 1}, {CWSI_EXITED, 1}, {CWSI_EXITED, 1}}},
    {.name = "command-exited-and-failed",
     .then = {{CWSI_STARTED, 1}, {CWSI_EXITED, 1}, {CWSI_FAILED, 1}}},
    {.name = "command-exited-and-started",
     .then = {{CWSI_STARTED, 1}, {CWSI_EXITED, 1}, {CWSI_STARTED, 1}}},
    {.name = "usage-unasked", .then = {{CWSI_USED, 0}}},
    {.name = "another-command", .then = {{CWSI_STARTED, 2}}},
    {.name = "the-last-command", .then = {{CWSI_STARTED, CWSI_MAX_COMMANDS - 1}}},
};

#define FILE_READ {{CWSI_STARTED, 1}, {CWSI_EXITED, 1}}

/* Of a file that may have 10 bytes. */
static const struct lie about_a_file[] = {
    {.name = "file-without-content", .then = FILE_READ},
    {.name = "file-of-any-size", .then = FILE_READ, .size = UINT64_MAX, .content = 5},
    {.name = "file-with-more", .then = FILE_READ, .size = 3, .content = 100},
};

/* It says that the main command has ended, and goes on. */
static const struct lie staying = {.name = "stays", .then = {{CWSI_STARTED, 1}, {CWSI_EXITED, 0}}};

static const struct lie *find_lie(const char *name)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_itself); i++)
        if (strcmp(about_itself[i].name, name) == 0)
            return &about_itself[i];
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_a_command); i++)
        if (strcmp(about_a_command[i].name, name) == 0)
            return &about_a_command[i];
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_a_file); i++)
        if (strcmp(about_a_file[i].name, name) == 0)
            return &about_a_file[i];
    return &staying;
}

static void say_all(const uint32_t (*reports)[2])
{
    for (; (*reports)[0]; reports++)
        say((*reports)[0], (*reports)[1]);
}

/* False when the box is gone. *out_fd is the one that came along last; -1: none. */
static bool hear(struct cwsi_request *request, int *out_fd)
{
    union {
        char bytes[CMSG_SPACE(CWSI_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = request, .iov_len = sizeof(*request)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    if (recvmsg(CWSI_SOCKET, &message, 0) <= 0)
        return false;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *out_fd = -1;
    for (size_t at = CMSG_LEN(0); header && at < header->cmsg_len; at += sizeof(int)) {
        if (*out_fd >= 0)
            close(*out_fd);
        memcpy(out_fd, (char *)header + at, sizeof(int));
    }
    return true;
}

static void send_file(const struct lie *lie, int fd)
{
    const struct cwsi_file_head head = {.size = lie->size};
    char zeroes[100] = {0};
    if (lie->content && (write(fd, &head, sizeof(head)) < 0 || write(fd, zeroes, lie->content) < 0))
        _exit(1);
}

static void tell(const struct lie *lie)
{
    struct cwsi_request request;
    int fd;
    say_all(lie->first[0][0] ? lie->first : honest);
    while (hear(&request, &fd)) {
        if (request.op == CWSI_READ_FILE)
            send_file(lie, fd);
        if (fd >= 0)
            close(fd);
        if ((request.op == CWSI_START || request.op == CWSI_READ_FILE) && request.id == 1)
            say_all(lie->then);
    }
    _exit(0);
}

/* ---- the box -------------------------------------------------------------------------------- */

static char folder[] = "/tmp/cws-test-XXXXXX";

static void open_lying(struct box_world *world, struct cwsd_host *lying, const struct lie *lie)
{
    static char path[200];
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len] = '\0';
    snprintf(path, sizeof(path), "%s/lie-%s", folder, lie->name);
    assert_int_equal(symlink(self, path), 0);
    *lying = *host;
    lying->init_path = path;
    world_open(world, lying);
    box_start_script(world, KEEP_ALIVE);
}

static void close_lying(struct box_world *world)
{
    unlink(world->host->init_path);
    world_close(world);
}

static void test_about_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_itself); i++) {
        struct cwsd_host lying;
        struct box_world world;
        open_lying(&world, &lying, &about_itself[i]);
        box_end(&world);
        if (world.err.status != CWS_PROTOCOL)
            fail_msg("%s: %s", about_itself[i].name, world.err.text);
        close_lying(&world);
    }
}

static void open_command(struct exec_world *run, struct box_world *world)
{
    RUN_UNTIL(world, world->running || world->gone);
    assert_false(world->gone);
    exec_open_script(run, world, "true", true);
}

/* Whoever waits for the command hears of an end, too. */
static void test_about_a_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_a_command); i++) {
        struct cwsd_host lying;
        struct box_world world;
        struct exec_world run;
        open_lying(&world, &lying, &about_a_command[i]);
        open_command(&run, &world);
        box_end(&world);
        if (world.err.status != CWS_PROTOCOL)
            fail_msg("%s: %s", about_a_command[i].name, world.err.text);
        RUN_UNTIL(&world, run.exited || run.failed);
        exec_close(&run);
        close_lying(&world);
    }
}

static void test_about_a_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(about_a_file); i++) {
        struct cwsd_host lying;
        struct box_world world;
        struct op_world run;
        open_lying(&world, &lying, &about_a_file[i]);
        RUN_UNTIL(&world, world.running || world.gone);
        op_init(&run, &world);
        read_begin(&run, "/any", 10);
        op_wait(&run);
        assert_true(run.failed);
        if (about_a_file[i].content) {
            assert_int_equal(run.failure.number, CWSI_FILE_TOO_LARGE);
            assert_true(run.failure.size > 10);
        } else {
            assert_int_equal(run.failure.number, 0);
            assert_int_equal(run.failure.err.status, CWS_PROTOCOL);
        }
        op_close(&run);
        cwsd_box_stop(world.box, 0);
        box_end(&world);
        close_lying(&world);
    }
}

/* The box ends all the same, and nobody has to ask for it. */
static void test_stays(void **state)
{
    struct cwsd_host lying;
    struct box_world world;
    struct exec_world run;
    (void)state;
    open_lying(&world, &lying, &staying);
    open_command(&run, &world);
    box_end(&world);
    assert_int_equal(world.err.status, CWS_OK);
    assert_int_equal(world.exit_code, 0);
    RUN_UNTIL(&world, run.exited || run.failed);
    assert_int_equal(run.err.status, CWS_CLOSED);
    exec_close(&run);
    close_lying(&world);
}

static int set_up(void **state)
{
    struct cws_loop *loop;
    struct cws_error err;
    (void)state;
    if (cws_loop_new(&loop, &err) != CWS_OK)
        return -1;
    cws_loop_free(loop); /* libuv keeps two descriptors of the first one */
    host = probe_host(CWSD_ISOLATION_NONE);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cwsd_host_free(host);
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    const char *lying = strstr(argv[0], "/lie-");
    if (lying)
        tell(find_lie(lying + 5));
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_about_itself),
        UNIT_TEST(test_about_a_command),
        UNIT_TEST(test_about_a_file),
        UNIT_TEST(test_stays),
    };
    (void)argc;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
