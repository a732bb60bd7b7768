/* The rules of networks as nft gets them, and that it takes them. */
#include "support/daemon_help.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "values/egress_rules.h"

#define DESTINATION(name) COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_##name

#define BEFORE \
    "table inet cwsandbox {\n" \
    "  set own {\n" \
    "    type ipv4_addr\n" \
    "    flags interval\n" \
    "    auto-merge\n" \
    "    elements = { 192.0.2.1/32, 192.0.2.0/24 }\n" \
    "  }\n" \
    "  chain input {\n" \
    "    type filter hook input priority filter; policy drop;\n" \
    "    iif lo accept\n" \
    "    ct state established,related accept\n" \
    "  }\n" \
    "  chain output {\n" \
    "    type filter hook output priority filter; policy drop;\n" \
    "    oif lo accept\n" \
    "    ip daddr 127.0.0.53 ct status dnat accept\n" \
    "    ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } " \
    "reject with icmpx admin-prohibited\n" \
    "    ip daddr @own reject with icmpx admin-prohibited\n" \
    "    meta nfproto ipv6 reject with icmpx admin-prohibited\n" \
    "    ct state established,related accept\n"
#define AFTER \
    "    reject with icmpx admin-prohibited\n" \
    "  }\n" \
    "  chain leaving {\n" \
    "    type filter hook postrouting priority filter; policy accept;\n" \
    "    oif lo accept\n" \
    "    ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } drop\n" \
    "  }\n"

/* A rule for a range with two exceptions and two ranges of ports, one for any, one by name. */
struct parts {
    cwsd_pb_network network;
    cwsd_pb_egress_rule range, any, name, *rules[3];
    cwsd_pb_cidr cidr;
    char *except[2];
    cwsd_pb_port_range tcp, udp, *ports[2];
};

static void prepare(struct parts *parts)
{
    memset(parts, 0, sizeof(*parts));
    coreweave__sandbox__v1__network_options__init(&parts->network);
    coreweave__sandbox__v1__egress_rule__init(&parts->range);
    coreweave__sandbox__v1__egress_rule__init(&parts->any);
    coreweave__sandbox__v1__egress_rule__init(&parts->name);
    coreweave__sandbox__v1__cidr_block__init(&parts->cidr);
    coreweave__sandbox__v1__port_range__init(&parts->tcp);
    coreweave__sandbox__v1__port_range__init(&parts->udp);
    parts->network.egress = parts->rules;
    parts->range.destination_case = DESTINATION(CIDR);
    parts->range.cidr = &parts->cidr;
    parts->range.ports = parts->ports;
    parts->cidr.cidr = (char *)"10.0.0.0/8";
    parts->cidr.except = parts->except;
    parts->except[0] = (char *)"10.1.0.0/16";
    parts->except[1] = (char *)"10.1.2.0/24"; /* within the first */
    parts->tcp.port = 8000;
    parts->tcp.end_port = 8010;
    parts->udp.port = parts->udp.end_port = 53;
    parts->udp.protocol = (char *)"UDP";
    parts->ports[0] = &parts->tcp;
    parts->ports[1] = &parts->udp;
    parts->any.destination_case = DESTINATION(ANY);
    parts->any.any = true;
    parts->name.destination_case = DESTINATION(HTTPS_HOSTNAME);
    parts->name.https_hostname = (char *)"pypi.org";
}

/* What nft makes of it, as far as it can be asked without rights over a network. */
static void assert_taken(const char *rules)
{
    FILE *nft = popen("unshare -Urn nft -c -f - 2>&1", "w");
    assert_non_null(nft);
    assert_true(fputs(rules, nft) >= 0);
    if (pclose(nft) != 0)
        fail_msg("nft does not take\n%s", rules);
}

static bool can_ask(void)
{
    return system("unshare -Urn nft list tables > /dev/null 2>&1") == 0;
}

/* An address, and a range that it is in. */
static struct cwsd_egress_own list_own(struct cwsd_egress_range ranges[2])
{
    ranges[0].bits = 32;
    ranges[1].bits = 24;
    assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &ranges[0].first), 1);
    assert_int_equal(inet_pton(AF_INET, "192.0.2.0", &ranges[1].first), 1);
    return (struct cwsd_egress_own){.ranges = ranges, .count = 2};
}

static void expect(struct parts *parts, const char *expected)
{
    struct cwsd_egress_range ranges[2];
    const struct cwsd_egress_own own = list_own(ranges);
    char *rules = cwsd_egress_rules(&parts->network, &own);
    assert_string_equal(rules, expected);
    if (can_ask())
        assert_taken(rules);
    free(rules);
}

static void without_rules_all_may_leave(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    expect(&parts, BEFORE "    accept\n" AFTER "}\n");
    parts.network.n_egress = 1;
    parts.rules[0] = &parts.any;
    expect(&parts, BEFORE "    accept\n" AFTER "}\n");
}

static void ranges_and_ports(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.network.n_egress = 1;
    parts.rules[0] = &parts.range;
    expect(&parts, BEFORE "    ip daddr 10.0.0.0/8 accept\n" AFTER "}\n");
    parts.range.n_ports = parts.cidr.n_except = 2;
    expect(&parts, BEFORE "    ip daddr 10.0.0.0/8 ip daddr != 10.1.0.0/16 "
                          "ip daddr != 10.1.2.0/24 tcp dport 8000-8010 accept\n"
                          "    ip daddr 10.0.0.0/8 ip daddr != 10.1.0.0/16 "
                          "ip daddr != 10.1.2.0/24 udp dport 53 accept\n" AFTER "}\n");
}

/* What other rules allow is not diverted. */
static void names_divert_the_rest(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.network.n_egress = 2;
    parts.rules[0] = &parts.name;
    parts.rules[1] = &parts.range;
    expect(&parts, BEFORE "    ip daddr 10.0.0.0/8 accept\n" AFTER "  chain diverted {\n"
                          "    type nat hook output priority -100; policy accept;\n"
                          "    oif lo accept\n"
                          "    ip daddr 127.0.0.0/8 accept\n"
                          "    ip daddr 10.0.0.0/8 accept\n"
                          "    meta nfproto ipv4 tcp dport 443 dnat ip to 127.0.0.53:443\n"
                          "  }\n"
                          "}\n");
}

static void assert_change(const struct cwsd_egress_own *own, const char *expected)
{
    cwsd_pb_network any = COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS__INIT;
    char *change = cwsd_egress_own_change(own), *whole;
    char *rules = cwsd_egress_rules(&any, &(struct cwsd_egress_own){0});
    assert_string_equal(change, expected);
    assert_true(asprintf(&whole, "%s%s", rules, change) > 0);
    if (can_ask())
        assert_taken(whole);
    free(whole);
    free(rules);
    free(change);
}

static void the_hosts_addresses_change(void **state)
{
    (void)state;
    struct cwsd_egress_range ranges[2];
    const struct cwsd_egress_own own = list_own(ranges), none = {0};
    assert_change(&own, "flush set inet cwsandbox own\n"
                        "add element inet cwsandbox own { 192.0.2.1/32, 192.0.2.0/24 }\n");
    assert_change(&none, "flush set inet cwsandbox own\n");
}

static void the_host(void **state)
{
    (void)state;
    char *rules = cwsd_egress_host_rules(3, "10.195.0.0/16");
    char *removal = cwsd_egress_host_removal(3);
    assert_string_equal(removal, "delete table inet cwsandboxd_3\n");
    assert_non_null(strstr(rules, "ip saddr 10.195.0.0/16 masquerade"));
    assert_non_null(strstr(rules, "iifname \"cws3-*\" ct state new add @tracked"));
    if (can_ask())
        assert_taken(rules);
    free(rules);
    free(removal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(without_rules_all_may_leave),
        CWSD_TEST(ranges_and_ports),
        CWSD_TEST(names_divert_the_rest),
        CWSD_TEST(the_hosts_addresses_change),
        CWSD_TEST(the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
