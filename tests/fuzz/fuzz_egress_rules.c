/* Network options from a peer: refused with a reason, or rules that say just what was asked for and
 * names that the sandbox's way out understands. The first byte says what the daemon offers. */
#include "base/alloc.h"
#include "fuzz.h"
#include "values/egress_rules.h"
#include "values/spec_network.h"
#include "values/text.h"
#include "values/wire.h"

#include "../../src/cwsandbox-egress/names.h"

/* Whether the word, up to a blank, is how one writes it. nft takes "010" for 8. */
static bool is_written_as(const char *word, const char *text)
{
    size_t len = strlen(text);
    return strncmp(word, text, len) == 0 && (word[len] == ' ' || word[len] == '\n');
}

static bool is_range(const char *word)
{
    unsigned a, b, c, d, bits = 0;
    char text[40];
    int parts = sscanf(word, "%3u.%3u.%3u.%3u/%2u", &a, &b, &c, &d, &bits);
    if (parts == 5)
        snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", a, b, c, d, bits);
    else if (parts == 4)
        snprintf(text, sizeof(text), "%u.%u.%u.%u", a, b, c, d);
    return parts >= 4 && a < 256 && b < 256 && c < 256 && d < 256 && bits <= 32 &&
           is_written_as(word, text);
}

static bool are_ports(const char *word)
{
    unsigned first, last;
    char text[20];
    int parts = sscanf(word, "%5u-%5u", &first, &last);
    if (parts == 2)
        snprintf(text, sizeof(text), "%u-%u", first, last);
    else if (parts == 1)
        snprintf(text, sizeof(text), "%u", last = first);
    return parts >= 1 && first >= 1 && first <= last && last <= 65535 && is_written_as(word, text);
}

/* Each range and each port after `key`, unless a set or a name follows it. */
static void check_words(const char *text, const char *key, bool (*is_fine)(const char *word))
{
    for (const char *at = text; (at = strstr(at, key));) {
        at += strlen(key);
        if (*at != '{' && *at != '@')
            REQUIRE(is_fine(strncmp(at, "!= ", 3) == 0 ? at + 3 : at));
    }
}

static size_t count(const char *text, const char *word)
{
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        found++;
    return found;
}

/* What goes by address is there twice if names divert the rest. */
static size_t count_ports(const cwsd_pb_network *network, bool twice)
{
    size_t ports = 0;
    for (size_t i = 0; i < network->n_egress; i++)
        if (network->egress[i]->destination_case !=
            COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME)
            ports += network->egress[i]->n_ports;
    return twice ? 2 * ports + 1 : ports;
}

static void check_rules(const cwsd_pb_network *network)
{
    static const struct cwsd_egress_range ranges[] = {{{0x0100a8c0}, 32}, {{0x00000a0a}, 16}};
    const struct cwsd_egress_own own = {ranges, 2};
    char *text = cwsd_egress_rules(network, &own);
    REQUIRE(text);
    /* No rule has opened or closed anything, or ended its line. */
    REQUIRE(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789 .,;:/-_=!@{}\n") == strlen(text));
    REQUIRE(count(text, "{") == count(text, "}"));
    REQUIRE(count(text, "chain ") == (cwsd_spec_count_names(network) ? 4 : 3));
    REQUIRE(count(text, "dport ") == count_ports(network, cwsd_spec_count_names(network) > 0));
    check_words(text, "ip daddr ", is_range);
    check_words(text, "dport ", are_ports);
    free(text);
}

static void check_names(const cwsd_pb_network *network)
{
    size_t all = cwsd_spec_count_names(network);
    char *names[CWSD_MAX_EGRESS_RULES], name[CWSE_NAME_SIZE];
    REQUIRE(all <= CWSD_MAX_EGRESS_RULES);
    cwsd_spec_list_names(network, names);
    for (size_t i = 0; i < all; i++) {
        const struct cwse_grants grants = {&names[i], 1};
        bool wild = strncmp(names[i], "*.", 2) == 0;
        const char *rest = wild ? names[i] + 2 : names[i];
        REQUIRE(cwse_name_read(rest, strlen(rest), name));
        REQUIRE(strcmp(name, rest) == 0);
        REQUIRE(cwse_grants_have(&grants, name) == !wild);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cwsd_pb_spec spec = COREWEAVE__SANDBOX__V1__SANDBOX_SPEC__INIT;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    enum cwsd_spec_egress offered = size ? data[0] % 3 : 0;
    if (size == 0)
        return 0;
    cwsd_pb_network *network = cwsd_wire_unpack(
        &coreweave__sandbox__v1__network_options__descriptor, data + 1, size - 1, &fault);
    if (!network)
        return 0;
    spec.network = network;
    if (!cwsd_spec_check_network(&spec, offered, &fault)) {
        REQUIRE(fault.code == CWS_GRPC_INVALID_ARGUMENT || fault.code == CWS_GRPC_UNIMPLEMENTED);
        REQUIRE(fault.message[0]);
        REQUIRE(cwsd_text_is_utf8((const uint8_t *)fault.message, strlen(fault.message)));
    } else if (cwsd_spec_has_egress(&spec)) {
        check_rules(network);
        check_names(network);
    }
    cwsd_wire_free(network);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
