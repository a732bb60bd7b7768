/*
 * A directory of the host as a mount that is nowhere yet, to be given to a sandbox. Devices and
 * set-user-ID bits have no effect through it. Any thread; forks.
 */
#pragma once

#include <sys/types.h>

#include "base/status.h"

/* Whose files in such a directory are where each sandbox is a user of its own: nobody's on the
 * host, so that a set-user-ID program that a sandbox leaves is nobody's, too. */
#define CWSD_TREE_OWNER ((uid_t)0x6fffffff)

/* `folder` is a descriptor of the directory (O_PATH will do). `user` 0: files look as they are.
 * Else files of CWSD_TREE_OWNER look like that user's, and what the user makes belongs to
 * CWSD_TREE_OWNER. CWS_SYSTEM: the kernel or the file system refuses. */
enum cws_status cwsd_tree_make(int folder, bool read_only, uid_t user, int *out_tree,
                               struct cws_error *err) CWS_MUST_CHECK;
