/*
 * The network that the containers of a sandbox share, before bubblewrap is started in it.
 *
 * It belongs to a user namespace between the host's and those of the containers, which bubblewrap
 * makes below it. So the containers have no rights over it, each keeps its own user namespace, and
 * who makes this one needs no right on the host. Nothing but the containers' processes, and
 * messages on their way to them, keeps it alive.
 */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#include "init.h"
#include "message.h"

#define AF_INET_FAMILY  2 /* not in the kernel's headers for us */
#define DATAGRAM_SOCKET 2
#define SET_FLAGS       0x8914 /* SIOCSIFFLAGS */
#define STREAM_SOCKET   1
#define FLAG_UP         1
#define BACKLOG         128

/* A message on CWSI_NETWORK: the errno of a failure, or 0 and the first two of the descriptors. */
#define NAMESPACES (CWSI_NETWORK_NAMESPACE + 1)

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

static int pass_on(int socket, int error, const int *fds, size_t count)
{
    struct cwsi_network network = {.error = error};
    struct message_part part = {.base = &network, .len = sizeof(network)};
    struct control control = {.len = offsetof(struct control, fds) + count * sizeof(int),
                              .level = SOL_SOCKET_LEVEL,
                              .type = SCM_RIGHTS_TYPE};
    struct message message = {.parts = &part, .part_count = 1};
    if (error == 0) {
        memcpy(control.fds, fds, count * sizeof(int));
        message.control = &control;
        message.control_len = (control.len + 7) & ~(size_t)7;
    }
    long rc = SYS3(sendmsg, socket, &message, MSG_NO_SIGNAL);
    return rc < 0 ? (int)rc : 0;
}

/* A socket at a port of CWSI_INNER_HOST. */
static int bind_inner(int type, unsigned port)
{
    struct {
        uint16_t family;
        uint8_t port[2], host[4], zero[8];
    } address = {.family = AF_INET_FAMILY,
                 .port = {(uint8_t)(port >> 8), (uint8_t)port},
                 .host = {CWSI_INNER_HOST >> 24, CWSI_INNER_HOST >> 16 & 0xff,
                          CWSI_INNER_HOST >> 8 & 0xff, CWSI_INNER_HOST & 0xff}};
    long fd = SYS3(socket, AF_INET_FAMILY, type | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    long rc = SYS3(bind, fd, &address, sizeof(address));
    if (rc == 0 && type == STREAM_SOCKET)
        rc = SYS2(listen, fd, BACKLOG);
    if (rc == 0)
        return (int)fd;
    SYS1(close, fd);
    return (int)rc;
}

/* Until the daemon has completed the network. */
static int await_daemon(void)
{
    char why[300];
    struct message_part part = {.base = why, .len = sizeof(why)};
    struct message message = {.parts = &part, .part_count = 1};
    long got = SYS3(recvmsg, CWSI_EGRESS, &message, 0);
    if (got <= 0)
        return got ? (int)got : -EPIPE; /* it is gone */
    if (why[0] == '\0')
        return 0;
    SYS3(write, 2, why, (unsigned long)got);
    SYS3(write, 2, "\n", 1);
    return -ENETUNREACH;
}

static long open_namespace(const char *path)
{
    return SYS4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static int fill_network(int fds[CWSI_NETWORK_FDS], bool opens)
{
    int rc = make_namespaces();
    if (rc == 0)
        rc = raise_loopback();
    if (rc < 0)
        return rc;
    fds[CWSI_USER_NAMESPACE] = (int)open_namespace("/proc/self/ns/user");
    fds[CWSI_NETWORK_NAMESPACE] = (int)open_namespace("/proc/self/ns/net");
    if (opens) {
        fds[CWSI_DIVERTED_SOCKET] = bind_inner(STREAM_SOCKET, CWSI_DIVERTED_PORT);
        fds[CWSI_NAMES_SOCKET] = bind_inner(DATAGRAM_SOCKET, CWSI_NAMES_PORT);
    }
    for (int i = 0; i < (opens ? CWSI_NETWORK_FDS : NAMESPACES); i++)
        if (fds[i] < 0)
            return fds[i];
    return 0;
}

static int have_completed(int error, const int fds[CWSI_NETWORK_FDS])
{
    int rc = pass_on(CWSI_EGRESS, error, fds, CWSI_NETWORK_FDS);
    if (rc == 0 && error == 0)
        rc = await_daemon();
    SYS1(close, CWSI_EGRESS);
    return rc;
}

int network_make(long count, bool opens)
{
    int fds[CWSI_NETWORK_FDS] = {-1, -1, -1, -1};
    int rc = fill_network(fds, opens);
    if (opens) {
        int completed = have_completed(-rc, fds);
        rc = rc < 0 ? rc : completed;
    }
    for (long i = 0; i < count; i++) {
        int sent = pass_on(CWSI_NETWORK, -rc, fds, NAMESPACES);
        if (rc == 0 && sent < 0)
            rc = sent; /* and the rest is told so */
    }
    for (int i = 0; i < CWSI_NETWORK_FDS; i++)
        if (fds[i] >= 0)
            SYS1(close, fds[i]);
    SYS1(close, CWSI_NETWORK);
    return rc;
}

/* 0, or why there is no network. */
static int receive(int fds[NAMESPACES])
{
    struct cwsi_network network = {0};
    struct message_part part = {.base = &network, .len = sizeof(network)};
    struct control control = {0};
    struct message message = {
        .parts = &part, .part_count = 1, .control = &control, .control_len = sizeof(control)};
    long got = SYS3(recvmsg, CWSI_NETWORK, &message, MSG_CLOSE_ON_EXEC);
    if (got < 0)
        return (int)got;
    if (got != sizeof(network))
        return -EPIPE; /* whoever was to make it is gone */
    if (network.error)
        return -network.error;
    if (control.len != offsetof(struct control, fds) + NAMESPACES * sizeof(int))
        return -EPROTO;
    memcpy(fds, control.fds, NAMESPACES * sizeof(int));
    return 0;
}

static int enter(const int fds[NAMESPACES], bool with_users)
{
    long rc = 0;
    if (with_users)
        rc = SYS2(setns, fds[CWSI_USER_NAMESPACE], CLONE_NEWUSER);
    if (rc == 0)
        rc = SYS2(setns, fds[CWSI_NETWORK_NAMESPACE], CLONE_NEWNET);
    return (int)rc;
}

int network_join(void)
{
    int fds[NAMESPACES];
    int rc = receive(fds);
    if (rc == 0)
        rc = enter(fds, true);
    SYS1(close, CWSI_NETWORK);
    return rc;
}

/* Who is not user 0 of a namespace loses the capabilities there with the next program, but for
 * ambient ones. */
static int keep_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t admin = 1u << CAP_NET_ADMIN;
    const struct __user_cap_data_struct data[2] = {
        {.effective = admin, .permitted = admin, .inheritable = admin}};
    long rc = SYS2(capset, &header, data);
    if (rc == 0)
        rc = SYS5(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0);
    return (int)rc;
}

int network_manage(void)
{
    int fds[NAMESPACES];
    bool is_root = SYS0(geteuid) == 0; /* of the host, and so of all namespaces below */
    int rc = receive(fds);
    if (rc == 0)
        rc = enter(fds, !is_root);
    if (rc == 0 && !is_root)
        rc = keep_capability();
    SYS1(close, CWSI_NETWORK);
    return rc;
}

int network_alone(void)
{
    int rc = make_namespaces();
    return rc == 0 ? keep_capability() : rc;
}
