#include "host/egress_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cwsandbox-init/protocol.h"
#include "host/child.h"
#include "host/egress_own.h"
#include "host/egress_stack.h"
#include "host/program.h"
#include "values/egress_rules.h"
#include "values/text.h"

#define MTU "1500"

/* In this order. */
enum step {
    STEP_RULES,   /* before there is a device */
    STEP_DEVICE,  /* a pair on the host, with one end inside, or that of the user-mode stack */
    STEP_ADDRESS, /* inside; the stack has set its own */
    STEP_DONE,
    STEP_LOST, /* nothing leads out, and nothing will */
};

struct cwsd_egress_link {
    struct cwsd_egress_link_options options; /* rules: its own copy */
    struct cwsd_egress_device device;
    int launcher_end;        /* -1: the launcher has it */
    struct cwsd_watch watch; /* of the other end */
    int namespaces[CWSI_NETWORK_NAMESPACE + 1];
    struct cwsd_egress_sockets sockets;
    enum step step;
    struct cwsd_child child;         /* of the step */
    int said_fd;                     /* its stderr */
    struct cwsd_egress_stack *stack; /* NULL: the kernel's own does it, or it has ended */
    struct cwsd_egress_watcher own;
    bool stale;       /* the host's addresses in the rules */
    char *own_change; /* what nft was last told of them; NULL: nothing but the first rules */
    bool freed;       /* as soon as nothing uses its memory */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void drop_sockets(struct cwsd_egress_link *link)
{
    close_fd(&link->sockets.diverted);
    close_fd(&link->sockets.names);
    close_fd(&link->said_fd);
}

static void drop_descriptors(struct cwsd_egress_link *link)
{
    drop_sockets(link);
    close_fd(&link->namespaces[CWSI_USER_NAMESPACE]);
    close_fd(&link->namespaces[CWSI_NETWORK_NAMESPACE]);
}

/* Frees it once it was given up and neither a program nor the watch uses it. */
static void release(struct cwsd_egress_link *link)
{
    if (!link->freed || link->child.pid || link->child.watch.busy || link->watch.busy)
        return;
    struct cws_loop *loop = link->options.loop;
    drop_descriptors(link);
    close_fd(&link->launcher_end);
    cws_free((char *)link->options.rules);
    free(link->own_change);
    cws_free(link);
    cws_loop_release(loop);
}

static void on_closed(struct cwsd_watch *watch)
{
    release(cws_container_of(watch, struct cwsd_egress_link, watch));
}

/* Tells the launcher to go on (an empty text), or why it cannot. */
static void answer(struct cwsd_egress_link *link, const char *why)
{
    /* A launcher that is gone needs no answer: its box sees its end. */
    (void)!send(link->watch.fd, why, why[0] ? strlen(why) : 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    cwsd_watch_close(&link->watch, on_closed);
}

static void complete(struct cwsd_egress_link *link)
{
    drop_sockets(link);
    if (!link->stack) /* else the rules may have to be changed */
        drop_descriptors(link);
    answer(link, "");
}

/* Nothing leads out (any more). */
static void lose(struct cwsd_egress_link *link, const char *why)
{
    link->step = STEP_LOST;
    drop_descriptors(link);
    cws_list_remove(&link->own.node);
    cwsd_egress_stack_stop(link->stack);
    link->stack = NULL;
    if (link->watch.fd >= 0)
        answer(link, why);
    else
        link->options.on_lost(link->options.ctx, why);
}

/* ---- programs ------------------------------------------------------------------------------- */

/* The namespaces for a program that is to enter them, as one launcher passes them to another. */
static int pass_namespaces(const struct cwsd_egress_link *link)
{
    struct cwsi_network network = {0};
    struct iovec part = {.iov_base = &network, .iov_len = sizeof(network)};
    char control[CMSG_SPACE(sizeof(link->namespaces))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int ends[2], passed = -1;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(link->namespaces));
    memcpy(CMSG_DATA(header), link->namespaces, sizeof(link->namespaces));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    if (sendmsg(ends[0], &message, MSG_NOSIGNAL) >= 0)
        passed = ends[1];
    int error = errno;
    close(ends[0]);
    if (passed < 0)
        close(ends[1]);
    errno = error;
    return passed;
}

static void on_end(struct cwsd_child *child, int wait_status);

/* Runs `argv` with `input`. Its descriptor CWSI_NETWORK is `network_fd`, which this closes. */
static enum cws_status run(struct cwsd_egress_link *link, char *const argv[], const char *input,
                           int network_fd, struct cws_error *err)
{
    int reading = cwsd_program_input(input), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    enum cws_status status = CWS_OK;
    close_fd(&link->said_fd);
    link->said_fd = cwsd_program_input("");
    if (network_fd < 0 || reading < 0 || null < 0 || link->said_fd < 0) {
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for %s", argv[0]);
    } else {
        const struct cwsd_spawn_options options = {.argv = argv,
                                                   .stdin_fd = reading,
                                                   .stderr_fd = link->said_fd,
                                                   .socket_fd = null,
                                                   .program_fd = -1,
                                                   .network_fd = network_fd};
        status = cwsd_child_spawn(link->options.loop, &link->child, &options, on_end, err);
    }
    close_fd(&reading);
    close_fd(&null);
    close_fd(&network_fd);
    return status;
}

static enum cws_status run_inside(struct cwsd_egress_link *link, char *program, char *option,
                                  const char *input, struct cws_error *err)
{
    char *const argv[] = {(char *)link->options.egress->init_path,
                          (char *)"manage",
                          (char *)"0",
                          program,
                          option,
                          (char *)"-",
                          NULL};
    return run(link, argv, input, pass_namespaces(link), err);
}

static enum cws_status make_pair(struct cwsd_egress_link *link, struct cws_error *err)
{
    char input[400], outside[INET_ADDRSTRLEN];
    const struct cwsd_egress *egress = link->options.egress;
    char *const argv[] = {egress->ip, (char *)"-batch", (char *)"-", NULL};
    if (cwsd_egress_next_device(link->options.egress, &link->device, err) != CWS_OK)
        return err->status;
    inet_ntop(AF_INET, &link->device.outside, outside, sizeof(outside));
    snprintf(input, sizeof(input),
             "link add %s mtu " MTU " type veth peer name eth0 mtu " MTU " netns /proc/self/fd/%d\n"
             "addr add %s/31 dev %s\n"
             "link set %s up\n",
             link->device.name, CWSI_NETWORK, outside, link->device.name, link->device.name);
    return run(link, argv, input,
               fcntl(link->namespaces[CWSI_NETWORK_NAMESPACE], F_DUPFD_CLOEXEC, 0), err);
}

static enum cws_status set_address(struct cwsd_egress_link *link, struct cws_error *err)
{
    char input[200], outside[INET_ADDRSTRLEN], inside[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &link->device.outside, outside, sizeof(outside));
    inet_ntop(AF_INET, &link->device.inside, inside, sizeof(inside));
    snprintf(input, sizeof(input),
             "addr add %s/31 dev eth0\nlink set eth0 up\nroute add default via %s\n", inside,
             outside);
    return run_inside(link, link->options.egress->ip, (char *)"-batch", input, err);
}

static void begin(struct cwsd_egress_link *link);

static void on_stack_ready(void *ctx)
{
    struct cwsd_egress_link *link = ctx;
    link->step = STEP_DONE;
    begin(link);
}

static void on_stack_end(void *ctx, const char *why)
{
    struct cwsd_egress_link *link = ctx;
    char text[300];
    snprintf(text, sizeof(text), "slirp4netns has ended: %s", why);
    lose(link, text);
}

static enum cws_status start_stack(struct cwsd_egress_link *link, struct cws_error *err)
{
    const struct cwsd_egress_stack_options options = {
        .loop = link->options.loop,
        .init_path = link->options.egress->init_path,
        .program = link->options.egress->slirp4netns,
        .user_namespace = link->namespaces[CWSI_USER_NAMESPACE],
        .network_namespace = link->namespaces[CWSI_NETWORK_NAMESPACE],
        .on_ready = on_stack_ready,
        .on_end = on_stack_end,
        .ctx = link,
    };
    return cwsd_egress_stack_start(&options, &link->stack, err);
}

static enum cws_status make_device(struct cwsd_egress_link *link, struct cws_error *err)
{
    enum cws_status status = CWS_OK;
    if (link->options.on_sockets)
        status = link->options.on_sockets(link->options.ctx, &link->sockets, err);
    if (status != CWS_OK)
        return status;
    return link->options.egress->way == CWSD_EGRESS_SLIRP4NETNS ? start_stack(link, err)
                                                                : make_pair(link, err);
}

/* What the rules have to say of the host's addresses now. NULL on failure. */
static char *write_own(struct cws_error *err)
{
    struct cwsd_egress_range *ranges;
    struct cwsd_egress_own own = {0};
    if (cwsd_egress_own_list(&ranges, &own.count, err) != CWS_OK)
        return NULL;
    own.ranges = ranges;
    char *change = cwsd_egress_own_change(&own);
    cws_free(ranges);
    if (!change)
        cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    return change;
}

/* Without a program where the rules say so already. */
static enum cws_status change_own(struct cwsd_egress_link *link, struct cws_error *err)
{
    char *change = write_own(err);
    if (!change)
        return err->status;
    if (link->own_change && strcmp(link->own_change, change) == 0) {
        free(change);
        return CWS_OK;
    }
    free(link->own_change);
    link->own_change = change;
    return run_inside(link, link->options.egress->nft, (char *)"-f", change, err);
}

static void renew(struct cwsd_egress_link *link)
{
    struct cws_error err;
    link->stale = false;
    if (change_own(link, &err) != CWS_OK)
        lose(link, err.text);
    else if (!link->child.pid)
        begin(link);
}

static void on_own_changed(struct cwsd_egress_watcher *watcher)
{
    struct cwsd_egress_link *link = cws_container_of(watcher, struct cwsd_egress_link, own);
    link->stale = true;
    /* Else its turn comes when what runs has ended. */
    if (link->step == STEP_DONE && !link->child.pid && !link->child.watch.busy)
        renew(link);
}

static void begin(struct cwsd_egress_link *link)
{
    struct cws_error err;
    enum cws_status status = CWS_OK;
    switch (link->step) {
    case STEP_RULES:
        status =
            run_inside(link, link->options.egress->nft, (char *)"-f", link->options.rules, &err);
        break;
    case STEP_DEVICE:
        status = make_device(link, &err);
        break;
    case STEP_ADDRESS:
        status = set_address(link, &err);
        break;
    case STEP_DONE:
        if (link->stale)
            renew(link);
        else if (link->watch.fd >= 0)
            complete(link);
        return;
    case STEP_LOST:
        return;
    }
    if (status != CWS_OK)
        lose(link, err.text);
}

static void fail(struct cwsd_egress_link *link, int wait_status)
{
    char said[200], why[300];
    cwsd_program_said(link->said_fd, said, sizeof(said));
    cwsd_program_ended(wait_status, said, sizeof(said));
    snprintf(why, sizeof(why), "%s: %s",
             link->step == STEP_DONE ? "its rules cannot follow the host's addresses"
                                     : "its way to other networks",
             said);
    lose(link, why);
}

static void on_end(struct cwsd_child *child, int wait_status)
{
    struct cwsd_egress_link *link = cws_container_of(child, struct cwsd_egress_link, child);
    if (link->freed) {
        release(link);
    } else if (link->step == STEP_LOST) {
        return;
    } else if (wait_status) {
        fail(link, wait_status);
    } else {
        close_fd(&link->said_fd);
        link->step += link->step < STEP_DONE;
        begin(link);
    }
}

/* ---- the launcher --------------------------------------------------------------------------- */

/* 0, or an errno: what the launcher has sent is no network. */
static int receive(struct cwsd_egress_link *link)
{
    struct cwsi_network network = {0};
    struct iovec part = {.iov_base = &network, .iov_len = sizeof(network)};
    int fds[CWSI_NETWORK_FDS];
    char control[CMSG_SPACE(sizeof(fds))];
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(link->watch.fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0)
        return errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (got != sizeof(network) || network.error || !header ||
        header->cmsg_len != CMSG_LEN(sizeof(fds)))
        return network.error ? network.error : EPIPE;
    memcpy(fds, CMSG_DATA(header), sizeof(fds));
    link->namespaces[CWSI_USER_NAMESPACE] = fds[CWSI_USER_NAMESPACE];
    link->namespaces[CWSI_NETWORK_NAMESPACE] = fds[CWSI_NETWORK_NAMESPACE];
    link->sockets.diverted = fds[CWSI_DIVERTED_SOCKET];
    link->sockets.names = fds[CWSI_NAMES_SOCKET];
    return 0;
}

static void on_ready(struct cwsd_watch *watch, int events)
{
    struct cwsd_egress_link *link = cws_container_of(watch, struct cwsd_egress_link, watch);
    (void)events;
    int error = receive(link);
    if (error == EAGAIN || error == EINTR)
        return;
    cwsd_watch_for(watch, 0);
    if (error) {
        link->step = STEP_LOST; /* the launcher says why, or has ended */
        cwsd_watch_close(watch, on_closed);
    } else {
        begin(link);
    }
}

static enum cws_status open_sockets(struct cwsd_egress_link *link, struct cws_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "a socket for a sandbox's network");
    link->launcher_end = ends[0];
    if (cwsd_watch_open(link->options.loop, &link->watch, ends[1], on_ready, err) == CWS_OK)
        return CWS_OK;
    close_fd(&link->launcher_end);
    close(ends[1]);
    return err->status;
}

enum cws_status cwsd_egress_link_new(const struct cwsd_egress_link_options *options,
                                     struct cwsd_egress_link **out_link, struct cws_error *err)
{
    struct cwsd_egress_link *link = cws_calloc(1, sizeof(*link));
    char *rules = cws_strdup(options->rules);
    if (!link || !rules) {
        cws_free(link);
        cws_free(rules);
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    }
    link->options = *options;
    link->options.rules = rules;
    link->launcher_end = link->said_fd = -1;
    cws_list_init(&link->own.node);
    link->own.changed = on_own_changed;
    link->namespaces[CWSI_USER_NAMESPACE] = link->namespaces[CWSI_NETWORK_NAMESPACE] = -1;
    link->sockets = (struct cwsd_egress_sockets){-1, -1};
    if (open_sockets(link, err) != CWS_OK) {
        cws_free(rules);
        cws_free(link);
        return err->status;
    }
    cws_loop_hold(options->loop);
    cwsd_watch_for(&link->watch, UV_READABLE);
    cwsd_egress_watch(options->egress, &link->own);
    *out_link = link;
    return CWS_OK;
}

void cwsd_egress_link_free(struct cwsd_egress_link *link)
{
    if (!link)
        return;
    link->freed = true;
    cws_list_remove(&link->own.node);
    cwsd_egress_stack_stop(link->stack);
    cwsd_child_kill_all(&link->child);
    cwsd_watch_close(&link->watch, on_closed);
    release(link);
}

int cwsd_egress_link_end(const struct cwsd_egress_link *link)
{
    return link->launcher_end;
}

void cwsd_egress_link_started(struct cwsd_egress_link *link)
{
    close_fd(&link->launcher_end);
}
