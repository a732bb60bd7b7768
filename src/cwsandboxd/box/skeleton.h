/*
 * Makes directories of the host in the upper layer of an overlay in advance. The kernel cannot copy
 * up a directory that belongs to a user or group unknown in the sandbox, so nothing could be
 * created in it. A directory that is already in the upper layer needs no copy.
 */
#pragma once

#include "box/script.h"

/* Adds steps that make the directories below `path` (a folder of programs) that are worth writing
 * to, as directories below `upper` + "/up". `other_user`: for a user who owns nothing on the host;
 * otherwise for this process's user. */
void cwsd_skeleton_add(struct cwsd_script *script, const char *path, const char *upper,
                       bool other_user);
