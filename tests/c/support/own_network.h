/* A network of the test's own, in which it may do everything. */
#pragma once

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/unit.h"

static void own_network_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* As an ordinary user: the rights come from a user namespace. False: this host does not let it. */
static bool own_network_enter(void)
{
    char uid_map[40], gid_map[40];
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    own_network_write("/proc/self/uid_map", uid_map);
    own_network_write("/proc/self/setgroups", "deny");
    own_network_write("/proc/self/gid_map", gid_map);
    return system("ip link set lo up 2>/dev/null") == 0;
}

static void ip(const char *text)
{
    char command[200];
    snprintf(command, sizeof(command), "ip %s", text);
    assert_int_equal(system(command), 0);
}
