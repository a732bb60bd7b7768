/*
 * Builds the block of a set-up request: the steps by which an init makes its sandbox's file system
 * (protocol.h). The struct is the caller's memory. The first failure is kept, so that `status` need
 * be checked only once, at the end.
 */
#pragma once

#include "base/buf.h"
#include "cwsandbox-init/protocol.h"

struct cwsd_script {
    struct cws_buf steps;
    enum cws_status status; /* CWS_OK, CWS_NO_MEMORY, CWS_TOO_LARGE */
};

void cwsd_script_init(struct cwsd_script *script);
void cwsd_script_done(struct cwsd_script *script);

/* Adds a step whose `b` is a text, or nothing (NULL). `flags` are CWSI_STEP_TRY and
 * CWSI_STEP_IF_EXISTS. */
void cwsd_script_add(struct cwsd_script *script, enum cwsi_step_op op, unsigned flags,
                     const char *a, const char *b);
void cwsd_script_mkdir(struct cwsd_script *script, const char *path, unsigned mode);
/* Adds CWSI_STEP_LIMIT. `what` names the limit in messages. */
void cwsd_script_limit(struct cwsd_script *script, unsigned resource, const char *what,
                       uint64_t most);
/* Adds CWSI_STEP_MOUNT_VOLUME, or CWSI_STEP_LEND if `path` is NULL: of the volume at `source` the
 * whole, or its `sub_path` (NULL: none). */
void cwsd_script_mount_volume(struct cwsd_script *script, const char *path, const char *source,
                              const char *sub_path, bool read_only);
/* Adds CWSI_STEP_FILE or CWSI_STEP_MOUNT_FILE. */
void cwsd_script_file(struct cwsd_script *script, enum cwsi_step_op op, const char *path,
                      unsigned mode, const void *data, size_t len);
