/*
 * The parts of cwsandbox-archive. Two processes: the one that the daemon started holds the archive
 * and never looks into it; its child walks the volume, and is confined to it. An archive's bytes go
 * from one to the other through a pipe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Why the child gave up, in memory that both processes share. The first one counts. */
struct complaint {
    int error; /* an errno; 0: none */
    char text[160];
};

void complaint_set(struct complaint *complaint, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* confine.c: makes this process the sandbox's user, with the rights that the sandbox has over its
 * files and no others, and the directory `root` all that it can reach. Keeps descriptors 0 to 2
 * open and no others. */
bool confine(uid_t user, int root, struct complaint *complaint);

/* filter.c: from now on any system call that packing and unpacking have no use for ends the process
 * (SIGSYS), and no memory can be executed that could not before. Needs no_new_privs. False with
 * errno set. */
bool filter_calls(void);

/* pack.c: writes what is in the current directory to descriptor 1. */
bool pack(struct complaint *complaint);

/* unpack.c: reads an archive from descriptor 0 into the current directory. */
bool unpack(struct complaint *complaint);
