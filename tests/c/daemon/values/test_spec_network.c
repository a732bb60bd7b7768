/* Which network options a spec may have, and what they mean. */
#include "support/daemon_help.h"

#include "values/bounds.h"
#include "values/spec_network.h"

#define EGRESS            "spec.network.egress"
#define FIRST             EGRESS "[0]"
#define DESTINATION(name) COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_##name
#define DENY_GIVEN        COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS___DENY_EGRESS_DENY_EGRESS

/* A spec with one rule, for a range, to spoil. */
struct parts {
    cwsd_pb_spec spec;
    cwsd_pb_network network;
    cwsd_pb_egress_rule rule, *rules[CWSD_MAX_EGRESS_RULES + 1];
    cwsd_pb_cidr cidr;
    char *except[CWSD_MAX_EGRESS_RULES + 1];
    cwsd_pb_port_range port, *ports[CWSD_MAX_EGRESS_RULES + 1];
    enum cwsd_spec_egress egress;
    struct cwsd_fault fault;
};

static void prepare(struct parts *parts)
{
    memset(parts, 0, sizeof(*parts));
    coreweave__sandbox__v1__sandbox_spec__init(&parts->spec);
    coreweave__sandbox__v1__network_options__init(&parts->network);
    coreweave__sandbox__v1__egress_rule__init(&parts->rule);
    coreweave__sandbox__v1__cidr_block__init(&parts->cidr);
    coreweave__sandbox__v1__port_range__init(&parts->port);
    parts->spec.network = &parts->network;
    parts->network.egress = parts->rules;
    parts->network.n_egress = 1;
    for (size_t i = 0; i <= CWSD_MAX_EGRESS_RULES; i++) {
        parts->rules[i] = &parts->rule;
        parts->ports[i] = &parts->port;
        parts->except[i] = (char *)"10.1.0.0/16";
    }
    parts->rule.destination_case = DESTINATION(CIDR);
    parts->rule.cidr = &parts->cidr;
    parts->rule.ports = parts->ports;
    parts->cidr.cidr = (char *)"10.0.0.0/8";
    parts->cidr.except = parts->except;
    parts->port.port = 443;
    parts->egress = CWSD_SPEC_EGRESS_ALL;
}

static bool check(struct parts *parts)
{
    parts->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    bool fine = cwsd_spec_check_network(&parts->spec, parts->egress, &parts->fault);
    assert_int_equal(fine, parts->fault.code == CWS_GRPC_OK);
    return fine;
}

static void expect_invalid(struct parts *parts, const char *field, const char *text)
{
    assert_false(check(parts));
    assert_invalid(&parts->fault, field);
    if (!strstr(parts->fault.message, text))
        fail_msg("\"%s\" does not say \"%s\"", parts->fault.message, text);
}

static void expect_not_here(struct parts *parts, const char *field)
{
    assert_false(check(parts));
    assert_int_equal(parts->fault.code, CWS_GRPC_UNIMPLEMENTED);
    assert_string_equal(parts->fault.reason, CWSD_REASON_NOT_IMPLEMENTED);
    if (!strstr(parts->fault.message, field))
        fail_msg("\"%s\" does not name %s", parts->fault.message, field);
}

static void say_deny(struct parts *parts, bool deny)
{
    parts->network._deny_egress_case = DENY_GIVEN;
    parts->network.deny_egress = deny;
}

static void ranges(void **state)
{
    (void)state;
    struct parts parts;
    static const char *const good[] = {"10.0.0.0/8", "203.0.113.7", "203.0.113.7/32", "0.0.0.0/0",
                                       "128.0.0.0/1"};
    static const char *const bad[] = {"",
                                      "10.0.0.1/8",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/010",
                                      "0.0.0.0/00",
                                      "10.0.0.0/8x",
                                      "10.0.0/8",
                                      "example.org",
                                      "10.0.0.0/8; accept",
                                      "010.0.0.0/8",
                                      "10.0.0.0/+8"};
    static const char *const internal[] = {"127.0.0.1",      "127.0.0.0/8", "169.254.169.254",
                                           "169.254.0.0/17", "224.0.0.1",   "255.255.255.255",
                                           "0.0.0.0/8"};
    prepare(&parts);
    for (size_t i = 0; i < CWS_ARRAY_LEN(good); i++) {
        parts.cidr.cidr = (char *)good[i];
        assert_true(check(&parts));
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.cidr.cidr = (char *)bad[i];
        expect_invalid(&parts, FIRST, bad[i]);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(internal); i++) {
        parts.cidr.cidr = (char *)internal[i];
        expect_invalid(&parts, FIRST, "internal");
    }
    parts.cidr.cidr = (char *)"2001:db8::/32";
    expect_not_here(&parts, FIRST);
}

static void exceptions(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.cidr.n_except = CWSD_MAX_EGRESS_RULES;
    assert_true(check(&parts));
    parts.cidr.n_except++;
    expect_invalid(&parts, FIRST, "65 exceptions");
    parts.cidr.n_except = 2;
    parts.except[1] = (char *)"11.0.0.0/16";
    expect_invalid(&parts, FIRST, "11.0.0.0/16 is not within 10.0.0.0/8");
    parts.except[1] = (char *)"0.0.0.0/0";
    expect_invalid(&parts, FIRST, "0.0.0.0/0 is not within");
    parts.except[1] = (char *)"10.1.0.1/16";
    expect_invalid(&parts, FIRST, "10.1.0.1/16");
}

static void ports(void **state)
{
    (void)state;
    struct parts parts;
    static const char *const protocols[] = {"", "TCP", "udp", "Sctp"};
    static const int bad[][2] = {{0, 0}, {-1, 0}, {65536, 0}, {5, 4}, {5, 65536}, {5, -1}};
    prepare(&parts);
    parts.rule.n_ports = CWSD_MAX_EGRESS_RULES;
    for (size_t i = 0; i < CWS_ARRAY_LEN(protocols); i++) {
        parts.port.protocol = (char *)protocols[i];
        parts.egress = CWSD_SPEC_EGRESS_ALL;
        assert_true(check(&parts));
        parts.egress = CWSD_SPEC_EGRESS_TCP_AND_UDP;
        assert_int_equal(check(&parts), i < 3);
    }
    assert_int_equal(parts.fault.code, CWS_GRPC_UNIMPLEMENTED);
    assert_non_null(strstr(parts.fault.message, "SCTP"));
    parts.egress = CWSD_SPEC_EGRESS_ALL;
    parts.port.end_port = 65535;
    assert_true(check(&parts));
    parts.rule.n_ports++;
    expect_invalid(&parts, FIRST, "65 ranges");
    parts.rule.n_ports = 1;
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.port.port = bad[i][0];
        parts.port.end_port = bad[i][1];
        expect_invalid(&parts, FIRST, "no range of ports");
    }
    parts.port.port = parts.port.end_port = 443;
    parts.port.protocol = (char *)"icmp";
    expect_invalid(&parts, FIRST, "\"icmp\"");
}

static void names(void **state)
{
    (void)state;
    struct parts parts;
    char *granted[1];
    static const char *const good[] = {"pypi.org", "*.pypi.org", "localhost", "a-b.c1", "1e.de"};
    static const char *const bad[] = {"",         "*",       "*.",     "a..b",      ".a",     "a.",
                                      "A.org",    "a.*.org", "a_b",    "-a.org",    "a-.org", "a b",
                                      "10.0.0.1", "*.*.org", "a.org;", "pypi.org/x"};
    prepare(&parts);
    parts.rule.destination_case = DESTINATION(HTTPS_HOSTNAME);
    for (size_t i = 0; i < CWS_ARRAY_LEN(good); i++) {
        parts.rule.https_hostname = (char *)good[i];
        assert_true(check(&parts));
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.rule.https_hostname = (char *)bad[i];
        expect_invalid(&parts, FIRST, "dns_name");
    }
    parts.rule.https_hostname = (char *)"pypi.org";
    assert_int_equal(cwsd_spec_count_names(&parts.network), 1);
    cwsd_spec_list_names(&parts.network, granted);
    assert_string_equal(granted[0], "pypi.org");
    parts.rule.n_ports = 1;
    assert_true(check(&parts));
    parts.port.protocol = (char *)"UDP";
    expect_invalid(&parts, FIRST, "TCP 443");
    parts.port.protocol = (char *)"tcp";
    parts.port.port = 80;
    expect_invalid(&parts, FIRST, "TCP 443");
    parts.rule.n_ports = 0;
    parts.rule.https_hostname_except = parts.except;
    parts.rule.n_https_hostname_except = 1;
    expect_invalid(&parts, FIRST, "dns_name_except");
}

static void destinations(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.rule.destination_case = DESTINATION(ANY);
    parts.rule.any = false;
    expect_invalid(&parts, FIRST, "any must be true");
    parts.rule.any = true;
    assert_true(check(&parts));
    parts.rule.destination_case = DESTINATION(TENANT);
    expect_not_here(&parts, "tenant");
    parts.rule.destination_case = DESTINATION(SELECTOR);
    expect_not_here(&parts, "selector");
    parts.rule.destination_case = DESTINATION(_NOT_SET);
    expect_invalid(&parts, FIRST, "no destination");
}

static void rules_together(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    say_deny(&parts, false);
    assert_true(check(&parts));
    say_deny(&parts, true);
    expect_invalid(&parts, EGRESS, "deny_egress");
    parts.network.n_egress = 0;
    assert_true(check(&parts));
    prepare(&parts);
    parts.network.n_egress = CWSD_MAX_EGRESS_RULES + 1;
    expect_invalid(&parts, EGRESS, "65 rules");
}

/* The daemon was not told to give a way out. */
static void without_egress(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.egress = CWSD_SPEC_EGRESS_NONE;
    expect_not_here(&parts, EGRESS);
    /* What is wrong on every daemon is said here, too. */
    parts.cidr.cidr = (char *)"10.0.0.0/33";
    expect_invalid(&parts, EGRESS "[0]", "10.0.0.0/33");
    parts.cidr.cidr = (char *)"127.0.0.0/8";
    expect_invalid(&parts, EGRESS "[0]", "127.0.0.0/8");
    parts.cidr.cidr = (char *)"10.0.0.0/8";
    parts.network.n_egress = 0;
    say_deny(&parts, false);
    assert_true(check(&parts));
    parts.network.dns_egress = COREWEAVE__SANDBOX__V1__DNSEGRESS_MODE__DNS_EGRESS_MODE_ALLOW;
    expect_not_here(&parts, "spec.network.dns_egress");
    parts.egress = CWSD_SPEC_EGRESS_ALL;
    assert_true(check(&parts));
}

static void ingress(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.network.n_ingress = 1;
    expect_not_here(&parts, "spec.network.ingress");
}

static void who_asks_for_it(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    assert_true(cwsd_spec_has_egress(&parts.spec));
    parts.network.n_egress = 0;
    assert_false(cwsd_spec_has_egress(&parts.spec));
    say_deny(&parts, true);
    assert_false(cwsd_spec_has_egress(&parts.spec));
    say_deny(&parts, false);
    assert_true(cwsd_spec_has_egress(&parts.spec));
    parts.spec.network = NULL;
    assert_false(cwsd_spec_has_egress(&parts.spec));
    assert_true(check(&parts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(ranges),         CWSD_TEST(exceptions),   CWSD_TEST(ports),
        CWSD_TEST(names),          CWSD_TEST(destinations), CWSD_TEST(rules_together),
        CWSD_TEST(without_egress), CWSD_TEST(ingress),      CWSD_TEST(who_asks_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
