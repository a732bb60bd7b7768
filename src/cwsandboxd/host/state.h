/*
 * The daemon's private directory, below a base that all daemons of a user may share.
 *
 * <base>/d0/state-lock is held locked as long as the daemon lives; the next daemon has d1, and so
 * on.
 *
 * A daemon that starts removes the directories of daemons that have ended, however they ended. What
 * has no such name, or no such lock, is somebody else's and stays.
 */
#pragma once

#include "host/dir.h"

struct cwsd_state {
    char *path; /* this daemon's own directory, mode 0700 */
    struct cwsd_dir base;
    int base_fd;
    int lock_fd;
};

/* Makes the base and the daemon's directory, and removes leftovers. CWS_INVALID: the base belongs
 * to another user, or others may write to it. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_state_open(const char *base, struct cwsd_state *out_state,
                                struct cws_error *err) CWS_MUST_CHECK;

/* Removes the daemon's directory, and the base's directories that were made for it if nobody else
 * uses them. Harmless on an all-zero state. */
void cwsd_state_close(struct cwsd_state *state);
