/* The daemon's end of an init's socket, with this test at the other end. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "box/line.h"
#include "support/unit.h"

struct line_world {
    struct cws_loop *loop;
    struct cwsd_line line;
    int peer;
    unsigned reports, hellos;
    struct cwsi_report last;
    bool ended, closed;
    struct cws_error err;
};

static struct line_world *world_of(struct cwsd_line *line)
{
    return cws_container_of(line, struct line_world, line);
}

static void on_closed(struct cwsd_watch *watch)
{
    cws_container_of(watch, struct line_world, line.watch)->closed = true;
}

static void on_report(struct cwsd_line *line, const struct cwsi_report *report, int fd)
{
    struct line_world *world = world_of(line);
    assert_false(world->ended);
    world->reports++;
    world->last = *report;
    if (fd >= 0) {
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        world->hellos++;
        close(fd);
    }
}

static void on_end(struct cwsd_line *line, const struct cws_error *err)
{
    struct line_world *world = world_of(line);
    assert_false(world->ended);
    world->ended = true;
    if (err)
        world->err = *err;
    cwsd_line_close(line, on_closed);
}

static void world_open(struct line_world *world)
{
    int sockets[2];
    struct cws_error err;
    *world = (struct line_world){.line.on_report = on_report, .line.on_end = on_end};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    world->peer = sockets[1];
    assert_int_equal(cws_loop_new(&world->loop, &err), CWS_OK);
    assert_int_equal(cwsd_line_open(world->loop, &world->line, sockets[0], &err), CWS_OK);
}

static void run_until(struct line_world *world, const bool *condition)
{
    while (!*condition)
        uv_run(cws_loop_uv(world->loop), UV_RUN_ONCE);
}

static void world_close(struct line_world *world)
{
    if (!world->ended)
        cwsd_line_close(&world->line, on_closed);
    run_until(world, &world->closed);
    if (world->peer >= 0)
        close(world->peer);
    cws_loop_free(world->loop);
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Sends `size` bytes of the report with `fd_count` descriptors. 0, or an errno. */
static int try_to_say(int peer, const void *report, size_t size, unsigned fd_count)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_base = (void *)report, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(header) + i * sizeof(int), &(int){2}, sizeof(int));
    }
    return sendmsg(peer, &message, MSG_NOSIGNAL) == (ssize_t)size ? 0 : errno;
}

static void say(int peer, const void *report, size_t size, unsigned fd_count)
{
    assert_int_equal(try_to_say(peer, report, size, fd_count), 0);
}

/* ---- what comes in -------------------------------------------------------------------------- */

static void test_reports_arrive(void **state)
{
    struct line_world world;
    struct cwsi_report hello = {.op = CWSI_HELLO};
    struct cwsi_report exited = {.op = CWSI_EXITED, .id = 5, .value = 256};
    (void)state;
    world_open(&world);
    say(world.peer, &hello, sizeof(hello), 1);
    for (int i = 0; i < 100; i++)
        say(world.peer, &exited, sizeof(exited), 0);
    shutdown(world.peer, SHUT_WR);
    run_until(&world, &world.ended);
    assert_int_equal(world.err.status, CWS_OK);
    assert_int_equal(world.reports, 101);
    assert_int_equal(world.hellos, 1);
    assert_int_equal(world.last.id, 5);
    assert_int_equal(world.last.value, 256);
    world_close(&world);
}

static void test_no_descriptors_are_taken_any_more(void **state)
{
    struct line_world world;
    struct cwsi_report hello = {.op = CWSI_HELLO}, ready = {.op = CWSI_READY};
    const int pass = 1;
    (void)state;
    world_open(&world);
    bool can = setsockopt(world.peer, SOL_SOCKET, CWSD_LINE_PASS_RIGHTS, &pass, sizeof(pass)) == 0;
    say(world.peer, &hello, sizeof(hello), 1);
    cwsd_line_take_no_fds(&world.line);
    assert_int_equal(try_to_say(world.peer, &hello, sizeof(hello), 1), can ? EPERM : 0);
    say(world.peer, &ready, sizeof(ready), 0);
    shutdown(world.peer, SHUT_WR);
    run_until(&world, &world.ended);
    assert_int_equal(world.err.status, CWS_OK);
    assert_int_equal(world.hellos, can ? 1 : 2);
    assert_int_equal(world.last.op, CWSI_READY);
    world_close(&world);
}

static void test_what_is_no_report_ends_the_line(void **state)
{
    static const struct cwsi_report good = {.op = CWSI_READY};
    static const struct cwsi_report no_op = {.op = 0};
    static const struct cwsi_report bad_op = {.op = CWSI_VOLUME + 1};
    static const struct cwsi_report bad_id = {.op = CWSI_EXITED, .id = CWSI_MAX_COMMANDS};
    static const struct cwsi_report hello = {.op = CWSI_HELLO};
    static struct cwsi_report endless = {.op = CWSI_FAILED};
    static const char large[sizeof(struct cwsi_report) + 1] = {CWSI_READY};
    const struct {
        const void *bytes;
        size_t size;
        unsigned fd_count;
    } cases[] = {
        {&good, sizeof(good) - 1, 0}, {&good, 1, 0},
        {large, sizeof(large), 0},    {&no_op, sizeof(no_op), 0},
        {&bad_op, sizeof(bad_op), 0}, {&bad_id, sizeof(bad_id), 0},
        {&hello, sizeof(hello), 0},   {&hello, sizeof(hello), 2},
        {&hello, sizeof(hello), 8},   {&good, sizeof(good), 1},
        {&good, sizeof(good), 4},     {&endless, sizeof(endless), 0},
    };
    (void)state;
    memset(endless.path, 'x', sizeof(endless.path));
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct line_world world;
        unsigned before = count_descriptors();
        world_open(&world);
        say(world.peer, cases[i].bytes, cases[i].size, cases[i].fd_count);
        say(world.peer, &good, sizeof(good), 0); /* comes too late */
        run_until(&world, &world.ended);
        assert_int_equal(world.err.status, CWS_PROTOCOL);
        assert_int_equal(world.reports, 0);
        world_close(&world);
        assert_int_equal(count_descriptors(), before);
    }
}

/* More than are taken in one go, too: what is left behind the reset is still heard of. */
static void test_peer_goes_without_reading(void **state)
{
    static const struct cwsi_report last_words = {.op = CWSI_EXITED};
    static const unsigned counts[] = {0, 1, 63, 64, 65, 200};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(counts); i++) {
        struct line_world world;
        struct cwsd_request request;
        world_open(&world);
        cwsd_request_init(&request, CWSI_KILL, 1);
        cwsd_line_send(&world.line, &request);
        for (unsigned j = 0; j < counts[i]; j++)
            say(world.peer, &last_words, sizeof(last_words), 0);
        close(world.peer);
        world.peer = -1;
        run_until(&world, &world.ended);
        assert_int_equal(world.reports, counts[i]);
        assert_int_equal(world.err.status, CWS_OK);
        world_close(&world);
    }
}

/* ---- what goes out -------------------------------------------------------------------------- */

#define MANY 2000

static void test_requests_queue_in_order(void **state)
{
    static struct cwsd_request requests[MANY];
    struct line_world world;
    struct cwsi_request got;
    (void)state;
    world_open(&world);
    for (int i = 0; i < MANY; i++) {
        cwsd_request_init(&requests[i], CWSI_SIGNAL, 1);
        requests[i].packet.value = i;
        cwsd_line_send(&world.line, &requests[i]);
    }
    assert_false(cws_list_is_empty(&world.line.queue));
    for (int i = 0; i < MANY; i++) {
        while (recv(world.peer, &got, sizeof(got), MSG_DONTWAIT) < 0)
            uv_run(cws_loop_uv(world.loop), UV_RUN_ONCE);
        assert_int_equal(got.value, i);
    }
    assert_true(cws_list_is_empty(&world.line.queue));
    world_close(&world);
}

/* In one packet, with its descriptors; also when the packet before it had none. */
static void test_a_small_block_goes_along(void **state)
{
    struct line_world world;
    struct cwsd_request kill, start;
    struct cws_error err;
    struct cwsd_string_list argv = {(char *[]){(char *)"true", NULL}, 1}, nothing = {NULL, 0};
    char packet[500];
    const struct cwsi_request *got = (const struct cwsi_request *)packet;
    (void)state;
    world_open(&world);
    cwsd_request_init(&kill, CWSI_KILL, 1);
    cwsd_request_init(&start, CWSI_START, 2);
    assert_int_equal(cwsd_request_set_command(&start, &argv, &nothing, "/", &err), CWS_OK);
    size_t size = start.packet.size;
    char *block = memcpy(test_malloc(size), start.block, size);
    cwsd_line_send(&world.line, &kill);
    cwsd_line_send(&world.line, &start);
    assert_null(start.block); /* sent, and freed */
    assert_int_equal(recv(world.peer, packet, sizeof(packet), 0), sizeof(*got));
    assert_int_equal(got->op, CWSI_KILL);
    assert_int_equal(recv(world.peer, packet, sizeof(packet), 0), sizeof(*got) + size);
    assert_int_equal(got->op, CWSI_START);
    assert_int_equal(got->size, size);
    assert_memory_equal(packet + sizeof(*got), block, size);
    test_free(block);
    world_close(&world);
}

static void test_descriptors_go_along(void **state)
{
    struct line_world world;
    struct cwsd_request request;
    struct cwsd_script script;
    struct cws_error err;
    const struct cwsd_script *scripts[] = {&script, &script};
    union {
        char bytes[CMSG_SPACE(CWSI_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct cwsi_request got;
    struct iovec part = {.iov_base = &got, .iov_len = sizeof(got)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    unsigned before = count_descriptors();
    (void)state;
    cwsd_script_init(&script);
    cwsd_script_file(&script, CWSI_STEP_FILE, "/path", 0644, "content", 7);
    world_open(&world);
    cwsd_request_init(&request, CWSI_SETUP, 0);
    assert_int_equal(cwsd_request_set_scripts(&request, scripts, 2, &err), CWS_OK);
    cwsd_request_add_fd(&request, CWSI_STDOUT, dup(1));
    cwsd_line_send(&world.line, &request);
    assert_int_equal(request.fd_count, 0); /* sent, and closed here */
    assert_int_equal(recvmsg(world.peer, &message, MSG_CMSG_CLOEXEC), sizeof(got));
    assert_int_equal(got.flags, CWSI_STDOUT);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    assert_int_equal(header->cmsg_len, CMSG_LEN(2 * sizeof(int)));
    int fds[2];
    memcpy(fds, CMSG_DATA(header), sizeof(fds));
    char block[200];
    assert_int_equal(got.size, 2 * script.steps.len);
    assert_int_equal(pread(fds[0], block, sizeof(block), 0), got.size);
    struct cwsi_step step;
    memcpy(&step, block + got.size / 2, sizeof(step));
    assert_int_equal(step.op, CWSI_STEP_FILE);
    assert_int_equal(step.mode, 0644);
    assert_string_equal(block + got.size / 2 + sizeof(step), "/path");
    assert_string_equal(block + got.size / 2 + sizeof(step) + step.a_len + 1, "content");
    close(fds[0]);
    close(fds[1]);
    cwsd_script_done(&script);
    world_close(&world);
    assert_int_equal(count_descriptors(), before);
}

static void test_close_drops_what_is_queued(void **state)
{
    struct line_world world;
    struct cwsd_request requests[600], late;
    struct cws_error err;
    unsigned before = count_descriptors();
    (void)state;
    world_open(&world);
    for (size_t i = 0; i < CWS_ARRAY_LEN(requests); i++) {
        cwsd_request_init(&requests[i], CWSI_SETUP, 0);
        if (i + 5 > CWS_ARRAY_LEN(requests))
            assert_int_equal(cwsd_request_set_scripts(&requests[i], NULL, 0, &err), CWS_OK);
        cwsd_line_send(&world.line, &requests[i]);
    }
    assert_int_equal(requests[CWS_ARRAY_LEN(requests) - 1].fd_count, 1);
    world_close(&world);
    cwsd_request_init(&late, CWSI_SETUP, 0);
    assert_int_equal(cwsd_request_set_scripts(&late, NULL, 0, &err), CWS_OK);
    cwsd_line_send(&world.line, &late);
    assert_int_equal(count_descriptors(), before);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_reports_arrive),
    UNIT_TEST(test_no_descriptors_are_taken_any_more),
    UNIT_TEST(test_what_is_no_report_ends_the_line),
    UNIT_TEST(test_peer_goes_without_reading),
    UNIT_TEST(test_requests_queue_in_order),
    UNIT_TEST(test_a_small_block_goes_along),
    UNIT_TEST(test_descriptors_go_along),
    UNIT_TEST(test_close_drops_what_is_queued),
};

UNIT_MAIN(tests)
