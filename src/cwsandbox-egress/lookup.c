#include "lookup.h"

#include <string.h>

#include "address.h"

static void keep(struct cwse_lookup *lookup, const struct addrinfo *found)
{
    if (lookup->count == CWSE_MAX_ADDRESSES)
        return;
    if (lookup->only_public &&
        (!cwse_address_is_public(found->ai_addr) || cwse_address_is_own(found->ai_addr)))
        return;
    memcpy(&lookup->addresses[lookup->count++], found->ai_addr, found->ai_addrlen);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct cwse_lookup *lookup = cws_container_of(request, struct cwse_lookup, request);
    lookup->error = status;
    for (const struct addrinfo *one = found; status == 0 && one; one = one->ai_next)
        keep(lookup, one);
    uv_freeaddrinfo(found);
    lookup->done(lookup);
}

int cwse_lookup_start(uv_loop_t *loop, struct cwse_lookup *lookup, const char *name,
                      bool only_public, void (*done)(struct cwse_lookup *lookup))
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    lookup->done = done;
    lookup->only_public = only_public;
    lookup->count = 0;
    return uv_getaddrinfo(loop, &lookup->request, on_found, name, "443", &hints);
}

bool cwse_lookup_found_none(const struct cwse_lookup *lookup)
{
    return lookup->error == UV_EAI_NONAME || lookup->error == UV_EAI_NODATA;
}
