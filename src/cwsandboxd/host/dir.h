/* A directory for this user only. Makes it with its missing parents, and removes again what was
 * made. Any thread. */
#pragma once

#include "base/status.h"

struct cwsd_dir {
    char *path;       /* NULL: none */
    size_t made_from; /* length of the shortest leading part of `path` that was made; 0: all of it
                         existed */
};

/* Makes what is missing, with mode 0700; leaves what exists as it is. CWS_INVALID (path too long),
 * CWS_NO_MEMORY; CWS_SYSTEM names the part that could not be made. */
enum cws_status cwsd_dir_make(const char *path, struct cwsd_dir *out_dir,
                              struct cws_error *err) CWS_MUST_CHECK;

/* Checks the directory that contains `path`. It must belong to this user or to root, and be sticky
 * if everybody may write to it. Otherwise another user could replace `path`. CWS_INVALID,
 * CWS_SYSTEM. */
enum cws_status cwsd_dir_check_parent(const char *path, struct cws_error *err) CWS_MUST_CHECK;

/* Removes the directories that were made and are empty, and frees the struct's memory. Harmless on
 * an all-zero struct. */
void cwsd_dir_remove(struct cwsd_dir *dir);
/* Only frees the struct's memory. */
void cwsd_dir_keep(struct cwsd_dir *dir);
