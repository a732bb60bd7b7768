/*
 * Names as the test says, in place of those of libc: getaddrinfo, also when libuv's threads call
 * it. A test may hold it up.
 */
#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define PLAYED_ADDRESSES 12

struct played_name {
    const char *name;
    int error; /* EAI_... */
    const char *addresses[PLAYED_ADDRESSES + 1];
};

static const struct played_name *played_names;
static size_t played_name_count;

/* Who asks waits while the gate is closed. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    unsigned asked; /* so far */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static inline void gate_set(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static inline unsigned gate_asked(void)
{
    pthread_mutex_lock(&gate.lock);
    unsigned asked = gate.asked;
    pthread_mutex_unlock(&gate.lock);
    return asked;
}

static void gate_pass(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.asked++;
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static struct addrinfo *played_address(const char *text, const char *port)
{
    struct {
        struct addrinfo info;
        struct sockaddr_storage address;
    } *made = calloc(1, sizeof(*made));
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&made->address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&made->address;
    bool is_ipv4 = inet_pton(AF_INET, text, &ipv4->sin_addr) == 1;
    if (!is_ipv4)
        inet_pton(AF_INET6, text, &ipv6->sin6_addr);
    made->info.ai_family = made->address.ss_family = is_ipv4 ? AF_INET : AF_INET6;
    made->info.ai_addr = (struct sockaddr *)&made->address;
    made->info.ai_addrlen = is_ipv4 ? sizeof(*ipv4) : sizeof(*ipv6);
    ipv4->sin_port = htons((uint16_t)atoi(port)); /* at the same place in both */
    return &made->info;
}

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints,
                struct addrinfo **out_found)
{
    struct addrinfo **end = out_found;
    (void)hints;
    gate_pass();
    *out_found = NULL;
    for (size_t i = 0; i < played_name_count; i++) {
        const struct played_name *one = &played_names[i];
        if (strcmp(one->name, name) != 0)
            continue;
        for (size_t j = 0; one->error == 0 && one->addresses[j]; j++, end = &(*end)->ai_next)
            *end = played_address(one->addresses[j], port);
        return one->error;
    }
    return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *found)
{
    while (found) {
        struct addrinfo *next = found->ai_next;
        free(found);
        found = next;
    }
}
