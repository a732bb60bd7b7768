#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "route.h"

struct range4 {
    uint32_t first;
    unsigned bits;
};

/* What is not reachable from everywhere, without the networks for documentation, which lead
 * nowhere. */
static const struct range4 inner[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared, behind a provider's translation */
    {0x7f000000, 8},  /* this machine */
    {0xa9fe0000, 16}, /* the link: cloud metadata among them */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xe0000000, 3},  /* groups, reserved, broadcast */
};

static bool is_public4(uint32_t address)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(inner); i++)
        if (((address ^ inner[i].first) >> (32 - inner[i].bits)) == 0)
            return false;
    return true;
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Whether an address of IPv6 stands for one of IPv4. */
static bool stands_for(const uint8_t bytes[16], uint32_t *out_address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0 ||
        memcmp(bytes, translated, sizeof(translated)) == 0)
        *out_address = number_at(bytes + 12);
    else if (bytes[0] == 0x20 && bytes[1] == 0x02) /* 6to4 */
        *out_address = number_at(bytes + 2);
    else if (number_at(bytes) == 0x20010000) /* Teredo: the address in it is inverted */
        *out_address = ~number_at(bytes + 12);
    else
        return false;
    return true;
}

static bool is_public6(const uint8_t bytes[16])
{
    uint32_t address;
    return stands_for(bytes, &address) ? is_public4(address) : (bytes[0] & 0xe0) == 0x20;
}

bool cwse_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_public4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_public6(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
    return false;
}

bool cwse_address_is_own(const struct sockaddr *address)
{
    struct sockaddr_in meant = {.sin_family = AF_INET};
    if (cwse_route_is_local(address))
        return true;
    if (address->sa_family != AF_INET6 ||
        !stands_for(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr,
                    &meant.sin_addr.s_addr))
        return false;
    meant.sin_addr.s_addr = htonl(meant.sin_addr.s_addr);
    return cwse_route_is_local((const struct sockaddr *)&meant);
}
