#include "values/egress_rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Not for sandboxes, whatever the rules say: this host, links with the metadata services of clouds,
 * groups, and what is reserved. values/spec_network.c refuses rules about these alone. */
#define INTERNAL "0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3"

/* Where cwsandbox-egress listens in the sandbox's network. */
#define NAMES "127.0.0.53"

/* Connections of a sandbox that the host keeps track of. Its table of these is everybody's: where
 * it is full, nobody opens a connection any more, nor does the host. */
#define MAX_TRACKED "4096"

#define ANY        COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_ANY
#define HTTPS_NAME COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME

/* Closes the stream. NULL if anything went wrong. */
static char *finish(FILE *out, char **text)
{
    bool failed = ferror(out);
    failed |= fclose(out) != 0;
    if (!failed)
        return *text;
    free(*text);
    return NULL;
}

static void add_destination(FILE *out, const cwsd_pb_egress_rule *rule)
{
    fprintf(out, "    ");
    if (rule->destination_case == ANY)
        return;
    fprintf(out, "ip daddr %s ", rule->cidr->cidr);
    /* Not as a set: nft refuses one whose members overlap. */
    for (size_t i = 0; i < rule->cidr->n_except; i++)
        fprintf(out, "ip daddr != %s ", rule->cidr->except[i]);
}

static const char *protocol_of(const cwsd_pb_port_range *ports)
{
    if (strcasecmp(ports->protocol, "udp") == 0)
        return "udp";
    return strcasecmp(ports->protocol, "sctp") == 0 ? "sctp" : "tcp";
}

/* `verdict` on what the rule allows. */
static void add_rule(FILE *out, const cwsd_pb_egress_rule *rule, const char *verdict)
{
    if (rule->n_ports == 0) {
        add_destination(out, rule);
        fprintf(out, "%s\n", verdict);
    }
    for (size_t i = 0; i < rule->n_ports; i++) {
        const cwsd_pb_port_range *ports = rule->ports[i];
        add_destination(out, rule);
        fprintf(out, "%s dport %d", protocol_of(ports), (int)ports->port);
        if (ports->end_port > ports->port)
            fprintf(out, "-%d", (int)ports->end_port);
        fprintf(out, " %s\n", verdict);
    }
}

static void add_rules(FILE *out, const cwsd_pb_network *network, const char *verdict)
{
    for (size_t i = 0; i < network->n_egress; i++)
        if (network->egress[i]->destination_case != HTTPS_NAME)
            add_rule(out, network->egress[i], verdict);
}

/* By the device that a packet really leaves by. A socket that is bound to a device sends to
 * loopback through that, and is diverted through it, too; the user-mode stack would be no obstacle.
 */
static void add_last_check(FILE *out)
{
    fprintf(out, "  chain leaving {\n"
                 "    type filter hook postrouting priority filter; policy accept;\n"
                 "    oif lo accept\n"
                 "    ip daddr { " INTERNAL " } drop\n"
                 "  }\n");
}

/* What other rules let through goes its own way; of the rest HTTPS goes to who knows the names. */
static void add_diversion(FILE *out, const cwsd_pb_network *network)
{
    fprintf(out, "  chain diverted {\n"
                 "    type nat hook output priority -100; policy accept;\n"
                 "    oif lo accept\n"
                 "    ip daddr 127.0.0.0/8 accept\n");
    add_rules(out, network, "accept");
    fprintf(out, "    meta nfproto ipv4 tcp dport 443 dnat ip to " NAMES ":443\n  }\n");
}

static bool has_names(const cwsd_pb_network *network)
{
    for (size_t i = 0; i < network->n_egress; i++)
        if (network->egress[i]->destination_case == HTTPS_NAME)
            return true;
    return false;
}

/* Nothing without any: nft takes no empty list. */
static void add_ranges(FILE *out, const char *before, const struct cwsd_egress_own *own)
{
    char text[INET_ADDRSTRLEN];
    for (size_t i = 0; i < own->count; i++)
        fprintf(out, "%s %s/%u", i ? "," : before,
                inet_ntop(AF_INET, &own->ranges[i].first, text, sizeof(text)), own->ranges[i].bits);
    if (own->count)
        fprintf(out, " }\n");
}

/* A set, so that it can be changed later. */
static void add_own(FILE *out, const struct cwsd_egress_own *own)
{
    fprintf(out, "  set own {\n"
                 "    type ipv4_addr\n"
                 "    flags interval\n"
                 "    auto-merge\n");
    add_ranges(out, "    elements = {", own);
    fprintf(out, "  }\n");
}

char *cwsd_egress_rules(const cwsd_pb_network *network, const struct cwsd_egress_own *own)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "table inet cwsandbox {\n");
    add_own(out, own);
    fprintf(out, "  chain input {\n"
                 "    type filter hook input priority filter; policy drop;\n"
                 "    iif lo accept\n"
                 "    ct state established,related accept\n"
                 "  }\n"
                 "  chain output {\n"
                 "    type filter hook output priority filter; policy drop;\n"
                 "    oif lo accept\n"
                 /* Here a diverted packet still has the device that it was to leave by. */
                 "    ip daddr " NAMES " ct status dnat accept\n"
                 "    ip daddr { " INTERNAL " } reject with icmpx admin-prohibited\n"
                 "    ip daddr @own reject with icmpx admin-prohibited\n"
                 "    meta nfproto ipv6 reject with icmpx admin-prohibited\n"
                 "    ct state established,related accept\n");
    add_rules(out, network, "accept");
    if (network->n_egress == 0)
        fprintf(out, "    accept\n");
    fprintf(out, "    reject with icmpx admin-prohibited\n  }\n");
    add_last_check(out);
    if (has_names(network))
        add_diversion(out, network);
    fprintf(out, "}\n");
    return finish(out, &text);
}

char *cwsd_egress_own_change(const struct cwsd_egress_own *own)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "flush set inet cwsandbox own\n");
    add_ranges(out, "add element inet cwsandbox own {", own);
    return finish(out, &text);
}

char *cwsd_egress_host_rules(unsigned slot, const char *range)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    /* Declared before it is deleted, so that both work whether it was there or not. */
    fprintf(out, "table inet cwsandboxd_%u {}\ndelete table inet cwsandboxd_%u\n", slot, slot);
    fprintf(out,
            "table inet cwsandboxd_%u {\n"
            "  set tracked {\n"
            "    type ipv4_addr\n"
            "    size 65536\n"
            "    flags dynamic\n"
            "  }\n"
            "  chain arriving {\n"
            "    type filter hook prerouting priority raw; policy accept;\n"
            "    iifname \"cws%u-*\" jump from_sandbox\n"
            "  }\n"
            "  chain from_sandbox {\n"
            "    meta nfproto != ipv4 drop\n"
            "    fib saddr . iif oif missing drop\n"
            "    ip saddr != %s drop\n"
            "    ip daddr { " INTERNAL " } drop\n"
            "    fib daddr type != unicast drop\n"
            "  }\n",
            slot, slot, range);
    fprintf(
        out,
        "  chain to_host {\n"
        "    type filter hook input priority filter; policy accept;\n"
        "    iifname \"cws%u-*\" drop\n"
        "  }\n"
        "  chain routed {\n"
        "    type filter hook forward priority filter; policy accept;\n"
        "    iifname \"cws%u-*\" oifname \"cws*\" drop\n"
        "    iifname \"cws%u-*\" ct state new add @tracked { ip saddr ct count over " MAX_TRACKED
        " } reject with icmpx admin-prohibited\n"
        "    oifname \"cws%u-*\" ct state established,related accept\n"
        "    oifname \"cws%u-*\" drop\n"
        "  }\n"
        "  chain leaving {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        "    ip saddr %s masquerade\n"
        "  }\n"
        "}\n",
        slot, slot, slot, slot, slot, range);
    return finish(out, &text);
}

char *cwsd_egress_host_removal(unsigned slot)
{
    char *text = NULL;
    return asprintf(&text, "delete table inet cwsandboxd_%u\n", slot) < 0 ? NULL : text;
}
