/* A directory for this user alone, made with its missing parents, and what was made taken away
 * again. */
#pragma once

#include "base/status.h"

struct cwsd_dir {
    char *path;       /* NULL: none */
    size_t made_from; /* length of the shortest leading part that was made; 0: all was there */
};

/* Makes what is missing, mode 0700; what exists is left as it is. CWS_INVALID (path too long),
 * CWS_NO_MEMORY, CWS_SYSTEM naming the part. */
enum cws_status cwsd_dir_make(const char *path, struct cwsd_dir *out_dir,
                              struct cws_error *err) CWS_MUST_CHECK;

/* The directory that `path` is in must be this user's or root's, and either not writable by
 * everybody or sticky: else another user could put something else in the place of `path`.
 * CWS_INVALID, CWS_SYSTEM. */
enum cws_status cwsd_dir_check_parent(const char *path, struct cws_error *err) CWS_MUST_CHECK;

/* Removes what was made and is empty, and frees. Harmless on one that is all zeroes. */
void cwsd_dir_remove(struct cwsd_dir *dir);
/* Frees only. */
void cwsd_dir_keep(struct cwsd_dir *dir);
