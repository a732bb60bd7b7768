/*
 * The network that the containers of a sandbox share, before bubblewrap is started in it.
 *
 * It belongs to a user namespace between the host's and those of the containers, which bubblewrap
 * makes below it. So the containers have no rights over it, each keeps its own user namespace, and
 * who makes this one needs no right on the host. Nothing but the containers' processes, and
 * messages on their way to them, keeps it alive.
 */
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "init.h"
#include "message.h"

#define AF_INET_FAMILY  2 /* not in the kernel's headers for us */
#define DATAGRAM_SOCKET 2
#define SET_FLAGS       0x8914 /* SIOCSIFFLAGS */
#define FLAG_UP         1

/* A message on the socket: the errno of a failure, or 0 and the two namespaces. */
enum { USER_NAMESPACE, NETWORK_NAMESPACE, NAMESPACES };

static int write_setting(const char *path, const char *text)
{
    long fd = SYS4(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    int rc = write_all(fd, text, text_len(text));
    SYS1(close, fd);
    return rc;
}

/* Whoever we are, we are the same inside. */
static int map_self(const char *path, unsigned long id)
{
    char line[64] = "";
    text_append_number(line, sizeof(line), id);
    text_append(line, sizeof(line), " ");
    text_append_number(line, sizeof(line), id);
    text_append(line, sizeof(line), " 1");
    return write_setting(path, line);
}

static int make_namespaces(void)
{
    long user = SYS0(geteuid), group = SYS0(getegid);
    long rc = SYS1(unshare, CLONE_NEWUSER | CLONE_NEWNET);
    /* These files are root's for who cannot be traced. Nobody else of this user is here who
     * would. */
    if (rc == 0)
        rc = SYS5(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (rc == 0)
        rc = map_self("/proc/self/uid_map", (unsigned long)user);
    if (rc == 0)
        rc = write_setting("/proc/self/setgroups", "deny");
    return rc == 0 ? map_self("/proc/self/gid_map", (unsigned long)group) : (int)rc;
}

static int raise_loopback(void)
{
    struct {
        char name[16];
        short flags;
        char rest[22];
    } request = {.name = "lo", .flags = FLAG_UP};
    long fd = SYS3(socket, AF_INET_FAMILY, DATAGRAM_SOCKET, 0);
    if (fd < 0)
        return (int)fd;
    long rc = SYS3(ioctl, fd, SET_FLAGS, &request);
    SYS1(close, fd);
    /* The containers' capabilities do not count for a network that is not theirs alone. Where the
     * setting cannot be changed, as in some containers, they have no ports below 1024. */
    if (rc == 0)
        write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    return (int)rc;
}

static int pass_on(int error, const int fds[NAMESPACES])
{
    struct message_part part = {.base = &error, .len = sizeof(error)};
    struct control control = {.len = offsetof(struct control, fds) + NAMESPACES * sizeof(int),
                              .level = SOL_SOCKET_LEVEL,
                              .type = SCM_RIGHTS_TYPE};
    struct message message = {.parts = &part, .part_count = 1};
    if (error == 0) {
        memcpy(control.fds, fds, NAMESPACES * sizeof(int));
        message.control = &control;
        message.control_len = (control.len + 7) & ~(size_t)7;
    }
    long rc = SYS3(sendmsg, CWSI_NETWORK, &message, MSG_NO_SIGNAL);
    return rc < 0 ? (int)rc : 0;
}

static long open_namespace(const char *path)
{
    return SYS4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

int network_make(long count)
{
    int fds[NAMESPACES] = {-1, -1};
    int rc = make_namespaces();
    if (rc == 0)
        rc = raise_loopback();
    if (rc == 0) {
        fds[USER_NAMESPACE] = (int)open_namespace("/proc/self/ns/user");
        fds[NETWORK_NAMESPACE] = (int)open_namespace("/proc/self/ns/net");
        rc = fds[USER_NAMESPACE] < 0 ? fds[USER_NAMESPACE] : fds[NETWORK_NAMESPACE];
        rc = rc < 0 ? rc : 0;
    }
    for (long i = 0; i < count; i++) {
        int sent = pass_on(-rc, fds);
        if (rc == 0 && sent < 0)
            rc = sent; /* and the rest is told so */
    }
    for (int i = 0; i < NAMESPACES; i++)
        if (fds[i] >= 0)
            SYS1(close, fds[i]);
    SYS1(close, CWSI_NETWORK);
    return rc;
}

/* 0, or why there is no network. */
static int receive(int fds[NAMESPACES])
{
    int error = 0;
    struct message_part part = {.base = &error, .len = sizeof(error)};
    struct control control = {0};
    struct message message = {
        .parts = &part, .part_count = 1, .control = &control, .control_len = sizeof(control)};
    long got = SYS3(recvmsg, CWSI_NETWORK, &message, MSG_CLOSE_ON_EXEC);
    if (got < 0)
        return (int)got;
    if (got != sizeof(error))
        return -EPIPE; /* whoever was to make it is gone */
    if (error)
        return -error;
    if (control.len != offsetof(struct control, fds) + NAMESPACES * sizeof(int))
        return -EPROTO;
    memcpy(fds, control.fds, NAMESPACES * sizeof(int));
    return 0;
}

int network_join(void)
{
    int fds[NAMESPACES];
    long rc = receive(fds);
    if (rc == 0)
        rc = SYS2(setns, fds[USER_NAMESPACE], CLONE_NEWUSER);
    if (rc == 0)
        rc = SYS2(setns, fds[NETWORK_NAMESPACE], CLONE_NEWNET);
    SYS1(close, CWSI_NETWORK);
    return (int)rc;
}
