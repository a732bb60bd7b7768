/*
 * One run of cwsandbox-archive: a scratch volume is saved to a file, or filled from one. The
 * program does all that waits for a disk or looks at what a sandbox has made. Loop thread only.
 */
#pragma once

#include "cwsandbox-archive/outcome.h"
#include "host/child.h"

struct cwsd_archive;

struct cwsd_archive_options {
    const char *program; /* path of cwsandbox-archive */
    int volume_fd;       /* the volume's root directory */
    uid_t user;          /* whose files are in it; 0: the daemon's user */
    int file_fd;         /* the archive */
    /* To save: */
    bool saves;
    unsigned patience_ms;  /* with a volume that holds it up; see outcome.h */
    int folder_fd;         /* where the archive is renamed ... */
    const char *temporary; /* ... from this name ... */
    const char *name;      /* ... to this one, once it is whole */
    uint64_t limit;        /* of the archive's size */
};

/* Starts it. The caller keeps the descriptors. `done` is called once, never from inside this call:
 * with the outcome, in which cwsa_outcome.failed may be set, too. The memory is freed after it.
 * CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_archive_start(struct cws_loop *loop,
                                   const struct cwsd_archive_options *options,
                                   void (*done)(void *ctx, const struct cwsa_outcome *outcome),
                                   void *ctx, struct cwsd_archive **out_archive,
                                   struct cws_error *err) CWS_MUST_CHECK;

/* Ends it, whole or not. `done` is not called any more. */
void cwsd_archive_cancel(struct cwsd_archive *archive);
