/*
 * The parts of cwsandbox-archive. Two processes: the one that the daemon started holds the archive
 * and never looks into what is in it: it takes the digest of its bytes, and has it on the disk. Its
 * child walks the volume, and is confined to it and the archive's descriptor.
 */
#pragma once

#include <archive.h>
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
 * files and no others, and the directory `root` all that it can reach. It ends with `parent`. Keeps
 * descriptors 0 to 2 open and no others. */
bool confine(uid_t user, pid_t parent, int root, struct complaint *complaint);

/* filter.c: from now on any system call that packing and unpacking have no use for ends the process
 * (SIGSYS), and no memory can be executed that could not before. Needs no_new_privs. False with
 * errno set. */
bool filter_calls(void);

/* pack.c: writes what is in the current directory to descriptor 1, and a byte to descriptor 0 for
 * each part that is there. */
bool pack(struct complaint *complaint);

/* output.c: libarchive's way to descriptor 1. `complaint` is a struct complaint. */
la_ssize_t output_write(struct archive *archive, void *complaint, const void *bytes, size_t len);
/* Writes what is gathered. Not libarchive's callback for closing, whose failure it ignores. */
bool output_end(struct complaint *complaint);

/* unpack.c: reads an archive from descriptor 0 into the current directory. */
bool unpack(struct complaint *complaint);
