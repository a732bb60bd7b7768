/* The host in each kind of isolation, as boxes need it. Probed once per test program. */
#pragma once

#include <sys/resource.h>

#include "support/box_world.h"

static struct cwsd_host *host __attribute__((unused)); /* with an overlay */
static struct cwsd_host *host_without_overlay __attribute__((unused));
static struct cwsd_host *host_none __attribute__((unused));

/* Of the group of tests: */
static inline int probe_hosts(void **state)
{
    (void)state;
    alarm(UNIT_SECONDS);
    host = probe_host(CWSD_ISOLATION_OVERLAY);
    host_without_overlay = probe_host(CWSD_ISOLATION_NAMESPACES);
    host_none = probe_host(CWSD_ISOLATION_NONE);
    return 0;
}

static inline int free_hosts(void **state)
{
    (void)state;
    cwsd_host_free(host);
    cwsd_host_free(host_without_overlay);
    cwsd_host_free(host_none);
    return 0;
}

/* Hundreds of commands have thousands of descriptors; the daemon, too, takes what it may. */
static inline int probe_hosts_for_many(void **state)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return probe_hosts(state);
}

/* A shell that runs has not always come to its first command: a trap that is set makes this
 * file. */
#define AWAIT_TRAP "until [ -e /tmp/trapped ]; do sleep 0.01; done"
