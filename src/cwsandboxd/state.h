/*
 * The daemon's private directory: one of its own under a base that all daemons of a user may share.
 *
 *   <base>/d-XXXXXX/lock     held locked as long as the daemon lives
 *
 * Who starts removes the directories of daemons that are gone, however they went.
 */
#pragma once

#include "base/status.h"

struct cwsd_state {
    char *path; /* of this daemon's own directory, mode 0700 */
    int base_fd;
    int lock_fd;
};

/* Makes the base (mode 0700, its parents too) and the own directory, and removes leftovers.
 * CWS_INVALID: the base belongs to another user, or others may write to it. CWS_SYSTEM. */
enum cws_status cwsd_state_open(const char *base, struct cwsd_state *out_state,
                                struct cws_error *err) CWS_MUST_CHECK;
/* Removes the own directory. Harmless on a state that is all zeroes. */
void cwsd_state_close(struct cwsd_state *state);

/* Makes a directory of mode 0700 and its missing parents; one that exists is left as it is. */
enum cws_status cwsd_state_make_dir(const char *path, struct cws_error *err) CWS_MUST_CHECK;
