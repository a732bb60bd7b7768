#include "route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

struct request {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr destination;
    uint8_t address[sizeof(struct in6_addr)];
};

static void fill(struct request *request, const struct sockaddr *address)
{
    bool ipv4 = address->sa_family == AF_INET;
    const void *bytes = ipv4 ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                             : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
    size_t len = ipv4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    memset(request, 0, sizeof(*request));
    request->header.nlmsg_len = (uint32_t)(offsetof(struct request, address) + len);
    request->header.nlmsg_type = RTM_GETROUTE;
    request->header.nlmsg_flags = NLM_F_REQUEST;
    request->route.rtm_family = (uint8_t)address->sa_family;
    request->route.rtm_dst_len = (uint8_t)(8 * len);
    request->destination.rta_type = RTA_DST;
    request->destination.rta_len = (uint16_t)RTA_LENGTH(len);
    memcpy(request->address, bytes, len);
}

/* What cannot be reached at all is not this machine's. */
static bool leads_nowhere(int error)
{
    return error == -ENETUNREACH || error == -EHOSTUNREACH;
}

/* Whether the answer has a message of this type, as long as `size` says. */
static bool has(const struct nlmsghdr *header, unsigned type, size_t size)
{
    return header->nlmsg_type == type && header->nlmsg_len >= NLMSG_LENGTH(size);
}

static bool read_answer(const struct nlmsghdr *header, size_t len)
{
    if (!NLMSG_OK(header, len))
        return true;
    if (has(header, NLMSG_ERROR, sizeof(struct nlmsgerr)))
        return !leads_nowhere(((const struct nlmsgerr *)NLMSG_DATA(header))->error);
    if (!has(header, RTM_NEWROUTE, sizeof(struct rtmsg)))
        return true;
    unsigned type = ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type;
    return type != RTN_UNICAST && type != RTN_UNREACHABLE;
}

bool cwse_route_is_local(const struct sockaddr *address)
{
    struct request request;
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } answer;
    bool local = true;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return true;
    fill(&request, address);
    if (send(fd, &request, request.header.nlmsg_len, 0) == (ssize_t)request.header.nlmsg_len) {
        ssize_t got = recv(fd, &answer, sizeof(answer), 0);
        local = got < 0 || read_answer(&answer.header, (size_t)got);
    }
    close(fd);
    return local;
}
