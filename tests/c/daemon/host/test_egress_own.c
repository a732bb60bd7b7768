/* The host's addresses, in a network of the test's own. */
#include <arpa/inet.h>
#include <poll.h>

#include "base/alloc.h"
#include "host/egress_own.h"
#include "support/own_network.h"

#define MANY 600 /* more than one message holds */

static bool has_network;

static int make_network(void **state)
{
    (void)state;
    has_network = own_network_enter();
    return 0;
}

struct found {
    struct cwsd_egress_range *ranges;
    size_t count;
};

static struct found list(void)
{
    struct found found;
    struct cws_error err;
    if (cwsd_egress_own_list(&found.ranges, &found.count, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return found;
}

static bool is_there(const char *first, unsigned bits)
{
    struct found found = list();
    struct in_addr address;
    bool there = false;
    assert_int_equal(inet_pton(AF_INET, first, &address), 1);
    for (size_t i = 0; i < found.count; i++)
        there |= found.ranges[i].first.s_addr == address.s_addr && found.ranges[i].bits == bits;
    cws_free(found.ranges);
    return there;
}

static void addresses_and_ranges(void **state)
{
    (void)state;
    if (!has_network)
        skip();
    struct found found = list();
    assert_int_equal(found.count, 0); /* loopback's own do not count */
    cws_free(found.ranges);
    ip("link add outside type veth peer name other");
    ip("link set outside up");
    ip("addr add 192.0.2.7/24 dev outside");
    ip("route add local 198.51.100.0/24 dev lo");
    assert_true(is_there("192.0.2.7", 32));
    assert_true(is_there("192.0.2.255", 32)); /* broadcast */
    assert_true(is_there("198.51.100.0", 24));
    assert_false(is_there("192.0.2.0", 24)); /* the neighbours */
    /* Of other tables only those count that all look-ups begin with. */
    ip("route add local 203.0.113.0/24 dev lo table 77");
    assert_false(is_there("203.0.113.0", 24));
    ip("link del outside");
    assert_false(is_there("192.0.2.7", 32));
    ip("route del local 198.51.100.0/24 dev lo");
}

/* All of a daemon's sandboxes at once: the list need not change with each of them. */
static void devices_of_sandboxes(void **state)
{
    (void)state;
    if (!has_network)
        skip();
    for (int i = 0; i < 2; i++) {
        char text[100];
        snprintf(text, sizeof(text), "link add cws3-%d type veth peer name other%d", i, i);
        ip(text);
        snprintf(text, sizeof(text), "link set cws3-%d up", i);
        ip(text);
        snprintf(text, sizeof(text), "addr add 10.195.0.%d/31 dev cws3-%d", 2 * i, i);
        ip(text);
    }
    struct found found = list();
    cws_free(found.ranges);
    assert_int_equal(found.count, 1);
    assert_true(is_there("10.195.0.0", 16));
    ip("link del cws3-0");
    assert_true(is_there("10.195.0.0", 16));
    ip("link del cws3-1");
    assert_false(is_there("10.195.0.0", 16));
}

static void more_than_a_message_holds(void **state)
{
    (void)state;
    if (!has_network)
        skip();
    FILE *batch = popen("ip -batch -", "w");
    assert_non_null(batch);
    for (int i = 0; i < MANY; i++)
        fprintf(batch, "addr add 10.77.%d.%d/32 dev lo\n", i / 250, i % 250);
    assert_int_equal(pclose(batch), 0);
    struct found found = list();
    assert_int_equal(found.count, MANY);
    cws_free(found.ranges);
    ip("addr flush to 10.77.0.0/16 dev lo");
}

static void changes_are_told(void **state)
{
    (void)state;
    if (!has_network)
        skip();
    int fd = cwsd_egress_own_watch();
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_true(fd >= 0);
    assert_false(cwsd_egress_own_changed(fd));
    ip("addr add 192.0.2.9/32 dev lo");
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_true(cwsd_egress_own_changed(fd));
    assert_false(cwsd_egress_own_changed(fd));
    ip("addr del 192.0.2.9/32 dev lo");
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_true(cwsd_egress_own_changed(fd));
    /* What leads elsewhere is nobody's address here. */
    ip("link add outside type veth peer name other");
    ip("link set outside up");
    ip("route add 198.51.100.0/24 dev outside");
    assert_false(cwsd_egress_own_changed(fd));
    ip("link del outside");
    assert_false(cwsd_egress_own_changed(fd));
    close(fd);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(addresses_and_ranges),
    UNIT_TEST(devices_of_sandboxes),
    UNIT_TEST(more_than_a_message_holds),
    UNIT_TEST(changes_are_told),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_network, NULL);
}
