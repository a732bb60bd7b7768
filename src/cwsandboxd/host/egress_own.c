#include "host/egress_own.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define MESSAGE_SIZE 32768 /* what the kernel fills at most at a time */
#define TRIES        5     /* the table may change while it is read */

struct list {
    struct cwsd_egress_range *ranges;
    size_t count, capacity;
};

/* How reading a message ended. */
enum progress { GOES_ON, COMPLETE, CHANGED, FAILED };

static int open_socket(unsigned groups, int flags)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool ask(int fd)
{
    const struct {
        struct nlmsghdr header;
        struct rtmsg route;
    } request = {.header = {.nlmsg_len = sizeof(request),
                            .nlmsg_type = RTM_GETROUTE,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_LOCAL}};
    return send(fd, &request, sizeof(request), 0) == sizeof(request);
}

static bool is_of_sandbox(unsigned device)
{
    char name[IF_NAMESIZE];
    return device && if_indextoname(device, name) && strncmp(name, "cws", 3) == 0;
}

/* False with errno set: there is no memory. */
static bool add(struct list *list, struct cwsd_egress_range range)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct cwsd_egress_range *more =
            cws_realloc(list->ranges, capacity * sizeof(*list->ranges));
        if (!more) {
            errno = ENOMEM;
            return false;
        }
        list->ranges = more;
        list->capacity = capacity;
    }
    list->ranges[list->count++] = range;
    return true;
}

/* All that a daemon has for its sandboxes (host/egress.c): else the list would change with each. */
static void widen(struct cwsd_egress_range *range)
{
    range->first.s_addr &= htonl(0xffff0000u);
    range->bits = range->bits > 16 ? 16 : range->bits;
}

/* The table is sorted. */
static bool is_last(const struct list *list, const struct cwsd_egress_range *range)
{
    const struct cwsd_egress_range *last = list->count ? &list->ranges[list->count - 1] : NULL;
    return last && last->first.s_addr == range->first.s_addr && last->bits == range->bits;
}

static bool add_route(struct list *list, const struct nlmsghdr *header)
{
    const struct rtmsg *route = NLMSG_DATA(header);
    struct cwsd_egress_range range = {.bits = route->rtm_dst_len};
    unsigned device = 0;
    size_t left = RTM_PAYLOAD(header);
    if (route->rtm_table != RT_TABLE_LOCAL || route->rtm_family != AF_INET)
        return true;
    for (const struct rtattr *attribute = RTM_RTA(route); RTA_OK(attribute, left);
         attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == RTA_DST)
            memcpy(&range.first, RTA_DATA(attribute), sizeof(range.first));
        else if (attribute->rta_type == RTA_OIF)
            memcpy(&device, RTA_DATA(attribute), sizeof(device));
    }
    if (ntohl(range.first.s_addr) >> 24 == IN_LOOPBACKNET && range.bits >= 8)
        return true;
    if (is_of_sandbox(device))
        widen(&range);
    return is_last(list, &range) || add(list, range);
}

static enum progress read_message(int fd, char *buffer, struct list *list)
{
    enum progress progress = GOES_ON;
    ssize_t got = recv(fd, buffer, MESSAGE_SIZE, 0);
    if (got < 0)
        return FAILED;
    unsigned left = (unsigned)got;
    for (struct nlmsghdr *header = (struct nlmsghdr *)(void *)buffer;
         progress != FAILED && NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
        if (header->nlmsg_flags & NLM_F_DUMP_INTR) {
            progress = CHANGED;
        } else if (header->nlmsg_type == NLMSG_ERROR) {
            errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
            progress = FAILED;
        } else if (header->nlmsg_type == RTM_NEWROUTE && !add_route(list, header)) {
            progress = FAILED;
        }
        if (header->nlmsg_type == NLMSG_DONE && progress == GOES_ON)
            progress = COMPLETE;
    }
    return progress;
}

static enum progress read_table(char *buffer, struct list *list)
{
    int fd = open_socket(0, 0);
    enum progress progress = fd >= 0 && ask(fd) ? GOES_ON : FAILED;
    while (progress == GOES_ON)
        progress = read_message(fd, buffer, list);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return progress;
}

enum cws_status cwsd_egress_own_list(struct cwsd_egress_range **out_ranges, size_t *out_count,
                                     struct cws_error *err)
{
    struct list list = {0};
    enum progress progress = CHANGED;
    char *buffer = cws_malloc(MESSAGE_SIZE);
    *out_ranges = NULL;
    if (!buffer)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for the host's addresses");
    for (int i = 0; progress == CHANGED && i < TRIES; i++) {
        list.count = 0;
        progress = read_table(buffer, &list);
    }
    int error = progress == CHANGED ? EAGAIN : errno;
    cws_free(buffer);
    if (progress == COMPLETE) {
        *out_ranges = list.ranges;
        *out_count = list.count;
        return CWS_OK;
    }
    cws_free(list.ranges);
    return cws_error_set_errno(err, CWS_SYSTEM, error, "the host's addresses");
}

int cwsd_egress_own_watch(void)
{
    return open_socket(RTMGRP_IPV4_ROUTE, SOCK_NONBLOCK);
}

/* The kernel tells of each route in a message of its own. What leads elsewhere changes all the time
 * on some hosts. */
static bool is_about_own(const char *buffer, size_t len)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)buffer;
    return len < NLMSG_LENGTH(sizeof(struct rtmsg)) ||
           ((const struct rtmsg *)NLMSG_DATA(header))->rtm_table == RT_TABLE_LOCAL;
}

bool cwsd_egress_own_changed(int fd)
{
    char buffer[4096];
    bool changed = false;
    ssize_t got;
    /* What did not fit into the socket's buffer may have changed something, too (ENOBUFS). */
    while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0 || errno == ENOBUFS)
        changed = changed || got < 0 || is_about_own(buffer, (size_t)got);
    return changed;
}
