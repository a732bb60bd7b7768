/* What this machine has for sandboxes, as far as this process may use it. Any thread. */
#pragma once

#include <stdint.h>

struct cwsd_machine {
    char architecture[65]; /* "amd64", "arm64", or the kernel's own name */
    int64_t cpu_millicores;
    int64_t memory_bytes;
    int64_t free_memory_bytes; /* what could be had now without swapping */
};

/* Reads it from the kernel: the processors that this process may run on, and the machine's memory,
 * both within the limits of its cgroup and those above it. What the kernel does not tell is 0.
 * Reads some small files below /proc and /sys. */
void cwsd_machine_read(struct cwsd_machine *out);

/* Lowers the amounts to what the cgroup `path` and those above it allow (cgroup v2). `root` is
 * where the hierarchy is mounted, `path` the cgroup's name there, beginning with a slash. */
void cwsd_machine_limit(struct cwsd_machine *machine, const char *root, const char *path);
