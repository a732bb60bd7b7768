/*
 * The directory in which the daemon keeps what outlives it (--data-dir). One daemon has it at a
 * time, by a lock that the kernel releases however the daemon ends.
 */
#pragma once

#include "base/status.h"

struct cwsd_data_dir {
    char *path; /* NULL: not open */
    int lock_fd;
};

/* Opens the directory and locks it; makes it, with its missing parents, if there is none.
 * CWS_INVALID: it is not this user's, others may look into it, or another daemon has it (and does
 * not end within two seconds).
 * CWS_SYSTEM, CWS_NO_MEMORY. After a failure there is nothing to close. */
enum cws_status cwsd_data_dir_open(const char *path, struct cwsd_data_dir *out_dir,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* Releases the lock and leaves the directory as it is. Harmless on an all-zero struct. */
void cwsd_data_dir_close(struct cwsd_data_dir *dir);
