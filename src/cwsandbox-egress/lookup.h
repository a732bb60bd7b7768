/*
 * The addresses of a name, as this machine knows them: its name servers, and its file of hosts.
 */
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include "names.h"

/* More addresses of a name are not looked at. */
#define CWSE_MAX_ADDRESSES 8

struct cwse_lookup {
    uv_getaddrinfo_t request;
    void (*done)(struct cwse_lookup *lookup);
    bool only_public;
    int error; /* 0; UV_EAI_NONAME, UV_EAI_NODATA or another of libuv's */
    size_t count;
    struct sockaddr_storage addresses[CWSE_MAX_ADDRESSES]; /* with port 443 */
};

/* Looks the name up and calls `done` once, never from inside; the memory must stay until then. With
 * `only_public` without the addresses that a name may not lead a sandbox to: its owner could make
 * it lead to this host or into the network around it. A libuv error if it cannot be done now. */
int cwse_lookup_start(uv_loop_t *loop, struct cwse_lookup *lookup, const char *name,
                      bool only_public, void (*done)(struct cwse_lookup *lookup)) CWS_MUST_CHECK;

/* Whether the name has no addresses at all, for all that anybody knows. */
bool cwse_lookup_found_none(const struct cwse_lookup *lookup);
