#include "values/spec_network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "values/bounds.h"
#include "values/text.h"

#define EGRESS "spec.network.egress"

#define DNS_ALLOW  COREWEAVE__SANDBOX__V1__DNSEGRESS_MODE__DNS_EGRESS_MODE_ALLOW
#define DENY_GIVEN COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS___DENY_EGRESS_DENY_EGRESS

/* An IPv4 range. */
struct range {
    uint32_t first, last;
};

static const struct range internal[] = {
    {0x00000000, 0x00ffffff}, /* this network */
    {0x7f000000, 0x7fffffff}, /* loopback */
    {0xa9fe0000, 0xa9feffff}, /* links, and the metadata services of clouds */
    {0xe0000000, 0xffffffff}, /* groups, reserved */
};

static bool not_here(struct cwsd_fault *fault, const char *field, const char *what)
{
    cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "%s: this daemon has no %s", field, what);
    cwsd_fault_note(fault, "field", field);
    return false;
}

static bool parse_range(const char *text, struct range *out)
{
    char address[INET_ADDRSTRLEN];
    struct in_addr number;
    const char *slash = strchr(text, '/');
    char *end = NULL;
    unsigned long bits = 32;
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (slash && (slash[1] < '0' || slash[1] > '9'))
        return false;
    if (slash && slash[1] == '0' && slash[2]) /* nft takes "010" for 8 */
        return false;
    if (slash)
        bits = strtoul(slash + 1, &end, 10);
    if (bits > 32 || (end && *end) || inet_pton(AF_INET, address, &number) != 1)
        return false;
    uint32_t holes = bits ? (uint32_t)((1ull << (32 - bits)) - 1) : UINT32_MAX;
    out->first = ntohl(number.s_addr);
    out->last = out->first | holes;
    return (out->first & holes) == 0;
}

static bool check_range(const char *field, const char *text, struct range *out,
                        struct cwsd_fault *fault)
{
    if (parse_range(text, out))
        return true;
    if (strchr(text, ':'))
        return not_here(fault, field, "IPv6 in its sandboxes");
    cwsd_fault_set_invalid(fault, field,
                           "\"%s\" is no range of IPv4 addresses such as \"10.1.0.0/16\", "
                           "whose bits after the prefix are 0",
                           cwsd_text_short(text).text);
    return false;
}

static bool check_cidr(const char *field, const cwsd_pb_cidr *cidr, struct cwsd_fault *fault)
{
    struct range all, hole;
    if (!check_range(field, cidr->cidr, &all, fault))
        return false;
    for (size_t i = 0; i < CWS_ARRAY_LEN(internal); i++)
        if (all.first >= internal[i].first && all.last <= internal[i].last)
            return cwsd_fault_set_invalid(fault, field,
                                          "%s is internal to this host or its link: no sandbox "
                                          "reaches that",
                                          cidr->cidr);
    if (cidr->n_except > CWSD_MAX_EGRESS_RULES)
        return cwsd_fault_set_invalid(fault, field, "%zu exceptions; at most %d are allowed",
                                      cidr->n_except, CWSD_MAX_EGRESS_RULES);
    for (size_t i = 0; i < cidr->n_except; i++) {
        if (!check_range(field, cidr->except[i], &hole, fault))
            return false;
        if (hole.first < all.first || hole.last > all.last)
            return cwsd_fault_set_invalid(fault, field, "the exception %s is not within %s",
                                          cidr->except[i], cidr->cidr);
    }
    return true;
}

static bool is_protocol(const char *text)
{
    return text[0] == '\0' || strcasecmp(text, "tcp") == 0 || strcasecmp(text, "udp") == 0 ||
           strcasecmp(text, "sctp") == 0;
}

static bool check_ports(const char *field, const cwsd_pb_egress_rule *rule,
                        struct cwsd_fault *fault)
{
    if (rule->n_ports > CWSD_MAX_EGRESS_RULES)
        return cwsd_fault_set_invalid(fault, field, "%zu ranges of ports; at most %d are allowed",
                                      rule->n_ports, CWSD_MAX_EGRESS_RULES);
    for (size_t i = 0; i < rule->n_ports; i++) {
        const cwsd_pb_port_range *ports = rule->ports[i];
        if (!is_protocol(ports->protocol))
            return cwsd_fault_set_invalid(fault, field, "\"%s\" is none of TCP, UDP and SCTP",
                                          cwsd_text_short(ports->protocol).text);
        if (ports->port < 1 || ports->port > 65535 || ports->end_port > 65535 ||
            (ports->end_port && ports->end_port < ports->port))
            return cwsd_fault_set_invalid(fault, field,
                                          "%d to %d is no range of ports from 1 to "
                                          "65535",
                                          (int)ports->port, (int)ports->end_port);
    }
    return true;
}

/* Labels of lower case letters, digits and '-', with a leading "*." at most. An address is none. */
static bool is_host_name(const char *name)
{
    size_t label = 0, letters = 0;
    if (strlen(name) > CWSD_MAX_HOST_NAME)
        return false;
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (const char *at = name; *at; at++) {
        bool ends = at[1] == '\0' || at[1] == '.';
        if (*at == '.' ? label == 0 : (*at == '-' && (label == 0 || ends)))
            return false;
        if (!islower((unsigned char)*at) && !isdigit((unsigned char)*at) && *at != '-' &&
            *at != '.')
            return false;
        label = *at == '.' ? 0 : label + 1;
        letters = *at == '.' ? 0 : letters + !isdigit((unsigned char)*at);
        if (label > 63)
            return false;
    }
    return label > 0 && letters > 0;
}

static bool check_name(const char *field, const cwsd_pb_egress_rule *rule, struct cwsd_fault *fault)
{
    const char *name = rule->https_hostname;
    const cwsd_pb_port_range *port = rule->n_ports ? rule->ports[0] : NULL;
    if (!is_host_name(name))
        return cwsd_fault_set_invalid(fault, field,
                                      "dns_name \"%s\" is no host name in lower case such as "
                                      "\"pypi.org\" or \"*.pypi.org\"",
                                      cwsd_text_short(name).text);
    if (rule->n_https_hostname_except)
        return cwsd_fault_set_invalid(fault, field, "dns_name_except is for policies alone");
    if (!port)
        return true;
    if (rule->n_ports > 1 || port->port != 443 || (port->end_port && port->end_port != 443) ||
        (port->protocol[0] && strcasecmp(port->protocol, "tcp") != 0))
        return cwsd_fault_set_invalid(fault, field,
                                      "dns_name grants HTTPS alone: give no ports, or TCP 443");
    return true;
}

static bool check_rule(const cwsd_pb_egress_rule *rule, size_t at, struct cwsd_fault *fault)
{
    char field[64];
    snprintf(field, sizeof(field), EGRESS "[%zu]", at);
    switch (rule->destination_case) {
    case COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_ANY:
        if (!rule->any)
            return cwsd_fault_set_invalid(fault, field, "any must be true if it is given");
        break;
    case COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_CIDR:
        if (!check_cidr(field, rule->cidr, fault))
            return false;
        break;
    case COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME:
        if (!check_name(field, rule, fault))
            return false;
        break;
    case COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_TENANT:
        return not_here(fault, EGRESS, "egress to other sandboxes (tenant)");
    case COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_SELECTOR:
        return not_here(fault, EGRESS, "egress by labels (selector)");
    default:
        return cwsd_fault_set_invalid(fault, field, "has no destination");
    }
    return check_ports(field, rule, fault);
}

/* A rule that allows what cannot leave would say so for nothing. */
static bool check_protocols(const cwsd_pb_egress_rule *rule, struct cwsd_fault *fault)
{
    for (size_t i = 0; i < rule->n_ports; i++)
        if (strcasecmp(rule->ports[i]->protocol, "sctp") == 0)
            return not_here(fault, EGRESS, "egress by SCTP, as it runs with slirp4netns");
    return true;
}

bool cwsd_spec_check_network(const cwsd_pb_spec *spec, enum cwsd_spec_egress egress,
                             struct cwsd_fault *fault)
{
    const cwsd_pb_network *network = spec->network;
    if (!network)
        return true;
    if (network->n_ingress)
        return not_here(fault, "spec.network.ingress", "ingress rules");
    if (network->dns_egress == DNS_ALLOW && egress == CWSD_SPEC_EGRESS_NONE)
        return not_here(fault, "spec.network.dns_egress", "network in its sandboxes");
    if (network->n_egress && network->_deny_egress_case == DENY_GIVEN && network->deny_egress)
        return cwsd_fault_set_invalid(fault, EGRESS, "cannot be combined with deny_egress");
    if (network->n_egress > CWSD_MAX_EGRESS_RULES)
        return cwsd_fault_set_invalid(fault, EGRESS, "%zu rules; at most %d are allowed",
                                      network->n_egress, CWSD_MAX_EGRESS_RULES);
    for (size_t i = 0; i < network->n_egress; i++)
        if (!check_rule(network->egress[i], i, fault) ||
            (egress == CWSD_SPEC_EGRESS_TCP_AND_UDP && !check_protocols(network->egress[i], fault)))
            return false;
    /* After the form, which is right or wrong on every daemon. */
    if (network->n_egress && egress == CWSD_SPEC_EGRESS_NONE)
        return not_here(fault, EGRESS, "egress rules, as it runs without --egress");
    return true;
}

bool cwsd_spec_has_egress(const cwsd_pb_spec *spec)
{
    const cwsd_pb_network *network = spec->network;
    if (!network)
        return false;
    return network->n_egress || (network->_deny_egress_case == DENY_GIVEN && !network->deny_egress);
}

static bool goes_by_name(const cwsd_pb_egress_rule *rule)
{
    return rule->destination_case ==
           COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
}

size_t cwsd_spec_count_names(const cwsd_pb_network *network)
{
    size_t count = 0;
    for (size_t i = 0; i < network->n_egress; i++)
        count += goes_by_name(network->egress[i]);
    return count;
}

void cwsd_spec_list_names(const cwsd_pb_network *network, char **out_names)
{
    for (size_t i = 0; i < network->n_egress; i++)
        if (goes_by_name(network->egress[i]))
            *out_names++ = network->egress[i]->https_hostname;
}
