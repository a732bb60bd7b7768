/*
 * Answers the sandbox's questions for names: the addresses of IPv4, since the sandbox's network has
 * no other. It may know only the names that were granted. All others do not exist then, which
 * programs report at once; "refused" would make them ask again and again.
 */
#pragma once

#include <uv.h>

#include "names.h"

/* So many questions may wait for their answers. More are told to come again. */
#define CWSE_MAX_QUESTIONS 64

struct cwse_resolver {
    uv_udp_t socket;
    const struct cwse_grants *grants; /* NULL: all names */
    size_t waiting;
};

/* Serves the bound socket of UDP from now on. With `grants` only these names, and none of this
 * machine's and private networks' addresses; NULL: all names and addresses. A libuv error. */
int cwse_resolver_start(struct cwse_resolver *resolver, uv_loop_t *loop, int fd,
                        const struct cwse_grants *grants) CWS_MUST_CHECK;
