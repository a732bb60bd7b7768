/*
 * Directories of the host made in advance in the upper layer of an overlay. A directory that
 * belongs to a user or group unknown in the sandbox cannot be copied up, so nothing could be put
 * into it; one that is there already needs no copy.
 */
#pragma once

#include "box/script.h"

/* Steps for the directories worth writing to below `path` (a folder of programs), as directories
 * below `upper` + "/up". `other_user`: for a user to whom nothing belongs; else for this
 * process's. */
void cwsd_skeleton_add(struct cwsd_script *script, const char *path, const char *upper,
                       bool other_user);
