/*
 * A connection to a port inside the sandbox, in a child of the init: bytes from the pipe on stdin
 * go to the port, and what comes from there goes to the pipe on stdout. The socket never leaves the
 * sandbox, and no socket of the host's comes in: whoever held one could connect it elsewhere.
 *
 * Each direction ends for itself: the end of one pipe or of the port's sending is passed on as
 * such. It ends with 0 when both have, or the connection is broken, and with an errno if there was
 * none. The pipe on stdin is closed first then: what ends alone is the output.
 */
#include <linux/fcntl.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>

#include "init.h"

#define AF_INET_FAMILY  2 /* not in the kernel's headers for us, as SHUT_WR and SOCK_... */
#define AF_INET6_FAMILY 10
#define STREAM_SOCKET   1
#define SHUT_WRITING    1

enum { FD_IN, FD_OUT, FD_PORT };

struct flow {
    uint32_t at, len; /* what has been read and not been written */
    char data[16384];
};

/* Untouched pages of the init cost nothing: only the child writes to them. */
static struct flow to_port, from_port;

static long connect_to(int family, const void *address, int size)
{
    long fd = SYS3(socket, family, STREAM_SOCKET, 0);
    long rc = fd < 0 ? fd : SYS3(connect, fd, address, size);
    if (rc < 0) {
        if (fd >= 0)
            SYS1(close, fd);
        return rc;
    }
    return fd;
}

/* Programs listen on one of the two, or on both. */
static long connect_port(uint16_t port)
{
    const uint16_t in_order = (uint16_t)(port >> 8 | port << 8);
    struct sockaddr_in four = {.sin_family = AF_INET_FAMILY, .sin_port = in_order};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6_FAMILY, .sin6_port = in_order};
    const uint8_t loopback[] = {127, 0, 0, 1};
    memcpy(&four.sin_addr, loopback, sizeof(loopback));
    six.sin6_addr.in6_u.u6_addr8[15] = 1;
    long fd = connect_to(AF_INET_FAMILY, &four, sizeof(four));
    if (fd >= 0)
        return fd;
    long second = connect_to(AF_INET6_FAMILY, &six, sizeof(six));
    return second >= 0 ? second : fd;
}

enum more { MORE, ENDED, BROKEN };

/* What can still be read. */
static enum more fill(struct flow *flow, int fd)
{
    long got = SYS3(read, fd, flow->data, sizeof(flow->data));
    flow->at = 0;
    flow->len = got > 0 ? (uint32_t)got : 0;
    if (got > 0 || got == -EAGAIN || got == -EINTR)
        return MORE;
    return got == 0 ? ENDED : BROKEN;
}

/* False when nobody takes more. */
static bool flush(struct flow *flow, int fd)
{
    long rc = SYS3(write, fd, flow->data + flow->at, flow->len - flow->at);
    if (rc < 0)
        return rc == -EAGAIN || rc == -EINTR;
    flow->at += (uint32_t)rc;
    flow->len = flow->at == flow->len ? 0 : flow->len;
    flow->at = flow->len ? flow->at : 0;
    return true;
}

static struct pollfd watch(int fd, bool wanted, short events)
{
    return (struct pollfd){.fd = wanted ? fd : -1, .events = events};
}

static void pass_on(void)
{
    bool in_open = true, takes = true, gives = true, out_open = true;
    while (gives || from_port.len || takes) {
        bool write_port = takes && to_port.len;
        struct pollfd polled[] = {
            watch(FD_IN, in_open && takes && !to_port.len, POLLIN),
            watch(FD_OUT, from_port.len, POLLOUT),
            watch(FD_PORT, write_port, POLLOUT),
            watch(FD_PORT, gives ? !from_port.len : takes, gives ? POLLIN : 0),
        };
        if (SYS5(ppoll, polled, sizeof(polled) / sizeof(polled[0]), NULL, NULL, 0) < 0)
            continue;
        if (polled[0].revents)
            in_open = fill(&to_port, FD_IN) == MORE;
        if (polled[2].revents)
            takes = flush(&to_port, FD_PORT);
        if (takes && !in_open && !to_port.len) {
            SYS2(shutdown, FD_PORT, SHUT_WRITING);
            takes = false;
        }
        if (polled[3].revents) { /* without POLLIN it is broken */
            enum more more = gives ? fill(&from_port, FD_PORT) : BROKEN;
            gives = more == MORE;
            takes = takes && more != BROKEN;
        }
        if (polled[1].revents && !flush(&from_port, FD_OUT))
            return; /* nobody is there any more */
        if (out_open && !gives && !from_port.len && takes) {
            SYS1(close, FD_OUT);
            out_open = false;
        }
    }
}

static long run(int in, int out, uint16_t port)
{
    /* Nothing of the init's stays open in here, its socket least of all. */
    long moved_in = SYS3(fcntl, in, F_DUPFD, FD_PORT + 1);
    long moved_out = SYS3(fcntl, out, F_DUPFD, FD_PORT + 1);
    SYS3(dup3, moved_in, FD_IN, 0);
    SYS3(dup3, moved_out, FD_OUT, 0);
    SYS3(close_range, FD_PORT, ~0u, 0);
    long fd = connect_port(port);
    if (fd < 0) {
        SYS1(close, FD_IN);
        return -fd;
    }
    if (fd != FD_PORT)
        SYS3(dup3, fd, FD_PORT, 0);
    SYS3(fcntl, FD_OUT, F_SETFL, O_NONBLOCK);
    SYS3(fcntl, FD_PORT, F_SETFL, O_NONBLOCK);
    pass_on();
    SYS1(close, FD_IN);
    return 0;
}

long connect_start(const char *block, uint64_t size, int in, int out, bool die_with_us)
{
    const struct cwsi_connect *connect = (const void *)block;
    if (size != sizeof(*connect))
        return -EINVAL;
    long pid = SYS5(clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        if (die_with_us)
            SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL);
        SYS0(setsid); /* a group of its own, as commands have */
        SYS1(exit_group, run(in, out, (uint16_t)connect->port));
    }
    return pid;
}
