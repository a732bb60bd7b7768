/* cwsandbox-egress/address: where a name may lead. */
#include "support/own_network.h"

#include <arpa/inet.h>

#include "cwsandbox-egress/address.h"

static struct sockaddr_storage parse(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &ipv6->sin6_addr), 1);
        address.ss_family = AF_INET6;
    }
    return address;
}

static bool is_public(const char *text)
{
    struct sockaddr_storage address = parse(text);
    return cwse_address_is_public((struct sockaddr *)&address);
}

static void reachable_from_everywhere(void **state)
{
    static const char *const texts[] = {
        "1.1.1.1",     "9.255.255.255", "11.0.0.0",       "100.63.255.255", "100.128.0.0",
        "172.15.0.1",  "172.32.0.0",    "192.167.0.1",    "198.17.255.255", "198.20.0.0",
        "203.0.113.5", "223.255.255.1", "2606:4700::1",   "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
        "2002:101::1", "192.0.2.1",     "2001:4860::8888"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++)
        assert_true(is_public(texts[i]));
}

static void not_so(void **state)
{
    static const char *const texts[] = {"0.0.0.0",
                                        "10.1.2.3",
                                        "100.64.0.1",
                                        "127.0.0.1",
                                        "127.255.0.1",
                                        "169.254.169.254",
                                        "172.16.0.1",
                                        "172.31.255.255",
                                        "192.0.0.8",
                                        "192.168.1.1",
                                        "198.18.0.1",
                                        "224.0.0.1",
                                        "240.0.0.1",
                                        "255.255.255.255",
                                        "::",
                                        "::1",
                                        "fe80::1",
                                        "fd00::1",
                                        "fc00::1",
                                        "ff02::1",
                                        "fec0::1",
                                        "::ffff:127.0.0.1",
                                        "::ffff:10.0.0.1",
                                        "64:ff9b::7f00:1",
                                        "2002:7f00:1::",
                                        "2001:0:1::80ff:fffe",
                                        "64:ff9b:1::7f00:1",
                                        "::127.0.0.1"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++)
        assert_false(is_public(texts[i]));
    assert_false(cwse_address_is_public(&(struct sockaddr){.sa_family = AF_UNIX}));
}

static void own(void **state)
{
    struct sockaddr_storage loopback = parse("127.0.0.1"), other = parse("203.0.113.250");
    (void)state;
    assert_true(cwse_address_is_own((struct sockaddr *)&loopback));
    assert_false(cwse_address_is_own((struct sockaddr *)&other));
}

static void assert_own(const char *const *texts, size_t count, bool are_own)
{
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_storage address = parse(texts[i]);
        if (cwse_address_is_own((struct sockaddr *)&address) != are_own)
            fail_msg("%s is%s the host's", texts[i], are_own ? " not" : "");
    }
}

/* A gateway, or this machine itself, takes them for the address of IPv4 in them. */
static void own_in_the_shape_of_ipv6(void **state)
{
    static const char *const own[] = {"::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
                                      "2001:0:1::80ff:fffe", "::1"};
    static const char *const others[] = {"::ffff:203.0.113.250", "64:ff9b::203.0.113.250",
                                         "2002:cb00:71fa::1", "2001:0:1::34ff:8e05",
                                         "2606:4700::7f00:1"};
    (void)state;
    assert_own(own, CWS_ARRAY_LEN(own), true);
    assert_own(others, CWS_ARRAY_LEN(others), false);
}

/* Without a device that has them: ranges, as balancers of load install them, and broadcast. */
static void own_by_the_routes(void **state)
{
    static const char *const own[] = {"198.51.100.7", "192.0.2.255", "2600:1f00::7",
                                      "::ffff:198.51.100.7"};
    static const char *const others[] = {"192.0.2.7", "203.0.113.250", "2600:1f01::7"};
    (void)state;
    if (!own_network_enter())
        skip();
    ip("link add outside type veth peer name other");
    ip("link set outside up");
    ip("address add 192.0.2.1/24 brd + dev outside");
    ip("route add local 198.51.100.0/24 dev lo");
    ip("-6 route add local 2600:1f00::/64 dev lo");
    assert_own(own, CWS_ARRAY_LEN(own), true);
    assert_own(others, CWS_ARRAY_LEN(others), false);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(reachable_from_everywhere),
    UNIT_TEST(not_so),
    UNIT_TEST(own),
    UNIT_TEST(own_in_the_shape_of_ipv6),
    UNIT_TEST(own_by_the_routes), /* and leaves the host's network */
};

UNIT_MAIN(tests)
