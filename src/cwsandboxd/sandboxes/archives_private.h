/* What archives.c and restore.c share. Loop thread. */
#pragma once

#include "base/list.h"
#include "host/archive.h"
#include "sandboxes/archives.h"

struct cwsd_archives {
    struct cws_loop *loop;
    struct cwsd_snapshots records;
    char *program;
    int folder_fd;
    struct cws_list jobs; /* of struct job.node, by age */
    size_t running;       /* of them */
};

/* The archive's file name; with "." before it while it is in the making. */
#define CWSD_ARCHIVE_NAME_SIZE (CWSD_SNAPSHOT_ID_SIZE + 8)
void cwsd_archives_name(const char *id, bool finished, char out[CWSD_ARCHIVE_NAME_SIZE]);
