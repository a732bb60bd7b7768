/* cwsandbox-egress/route: what the kernel's answers mean, and that no answer means the worst. The
 * test plays the kernel. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cwsandbox-egress/route.h"

static struct {
    bool no_socket, short_send;
    int failure; /* of recv; 0: none */
    uint8_t answer[256];
    size_t len;
    struct rtmsg asked;
    uint8_t address[16];
} kernel;

/* In place of libc's. */
int socket(int domain, int type, int protocol)
{
    assert_int_equal(domain, AF_NETLINK);
    assert_int_equal(protocol, NETLINK_ROUTE);
    assert_true(type & SOCK_CLOEXEC);
    if (!kernel.no_socket)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    errno = EMFILE;
    return -1;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    const struct nlmsghdr *header = bytes;
    const struct rtmsg *route = NLMSG_DATA(header);
    const struct rtattr *attribute = (const struct rtattr *)(route + 1);
    (void)fd, (void)flags;
    assert_int_equal(header->nlmsg_type, RTM_GETROUTE);
    assert_int_equal(header->nlmsg_len, len);
    assert_int_equal(attribute->rta_type, RTA_DST);
    assert_int_equal(attribute->rta_len, RTA_LENGTH(route->rtm_dst_len / 8u));
    kernel.asked = *route;
    memcpy(kernel.address, RTA_DATA(attribute), route->rtm_dst_len / 8u);
    return (ssize_t)len - kernel.short_send;
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    (void)fd, (void)flags;
    assert_true(len >= kernel.len);
    memcpy(bytes, kernel.answer, kernel.len);
    errno = kernel.failure;
    return kernel.failure ? -1 : (ssize_t)kernel.len;
}

static int set_up(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof(kernel));
    return 0;
}

#define ROUTE_TEST(f) cmocka_unit_test_setup(f, set_up)

static void answer_route(unsigned type)
{
    struct nlmsghdr *header = (struct nlmsghdr *)kernel.answer;
    struct rtmsg *route = NLMSG_DATA(header);
    header->nlmsg_len = NLMSG_LENGTH(sizeof(*route));
    header->nlmsg_type = RTM_NEWROUTE;
    route->rtm_type = (unsigned char)type;
    kernel.len = header->nlmsg_len;
}

static void answer_error(int error)
{
    struct nlmsghdr *header = (struct nlmsghdr *)kernel.answer;
    header->nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr));
    header->nlmsg_type = NLMSG_ERROR;
    ((struct nlmsgerr *)NLMSG_DATA(header))->error = error;
    kernel.len = header->nlmsg_len;
}

static bool is_local(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
    address.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(address.ss_family, text,
                               address.ss_family == AF_INET ? (void *)&ipv4->sin_addr
                                                            : (void *)&ipv6->sin6_addr),
                     1);
    return cwse_route_is_local((struct sockaddr *)&address);
}

static void what_is_asked(void **state)
{
    (void)state;
    answer_route(RTN_UNICAST);
    assert_false(is_local("192.0.2.7"));
    assert_int_equal(kernel.asked.rtm_family, AF_INET);
    assert_int_equal(kernel.asked.rtm_dst_len, 32);
    assert_memory_equal(kernel.address, "\xc0\0\x02\x07", 4);
    assert_false(is_local("2001:db8::7"));
    assert_int_equal(kernel.asked.rtm_family, AF_INET6);
    assert_int_equal(kernel.asked.rtm_dst_len, 128);
    assert_memory_equal(kernel.address, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
}

/* What leads to another machine, or nowhere, is not this one's. */
static void kinds_of_routes(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= __RTN_MAX; type++) {
        answer_route(type);
        assert_int_equal(is_local("192.0.2.7"), type != RTN_UNICAST && type != RTN_UNREACHABLE);
    }
}

static void refusals(void **state)
{
    (void)state;
    answer_error(-ENETUNREACH);
    assert_false(is_local("192.0.2.7"));
    answer_error(-EHOSTUNREACH);
    assert_false(is_local("192.0.2.7"));
    answer_error(-EACCES);
    assert_true(is_local("192.0.2.7"));
    answer_error(-EINVAL);
    assert_true(is_local("192.0.2.7"));
    answer_error(0);
    assert_true(is_local("192.0.2.7"));
}

static void no_answer(void **state)
{
    (void)state;
    answer_route(RTN_UNICAST);
    kernel.no_socket = true;
    assert_true(is_local("192.0.2.7"));
    kernel.no_socket = false;
    kernel.short_send = true;
    assert_true(is_local("192.0.2.7"));
    kernel.short_send = false;
    kernel.failure = ENOBUFS;
    assert_true(is_local("192.0.2.7"));
    kernel.failure = 0;
    assert_false(is_local("192.0.2.7"));
}

/* Of an answer that is cut off nothing counts. */
static void answers_that_are_cut_off(void **state)
{
    (void)state;
    answer_route(RTN_UNICAST);
    for (size_t whole = kernel.len; kernel.len-- > 0;) {
        struct nlmsghdr *header = (struct nlmsghdr *)kernel.answer;
        assert_true(is_local("192.0.2.7"));
        header->nlmsg_len = (uint32_t)kernel.len; /* and says so */
        assert_true(is_local("192.0.2.7"));
        header->nlmsg_len = (uint32_t)whole;
    }
}

static const struct CMUnitTest tests[] = {
    ROUTE_TEST(what_is_asked), ROUTE_TEST(kinds_of_routes),          ROUTE_TEST(refusals),
    ROUTE_TEST(no_answer),     ROUTE_TEST(answers_that_are_cut_off),
};

UNIT_MAIN(tests)
