/* How much of its host one sandbox may use. */
#pragma once

#include <stdint.h>

struct cwsd_limits {
    uint64_t processes;     /* at a time; each thread counts as one */
    uint64_t open_files;    /* of each process */
    uint64_t written_bytes; /* in all files that it has created or changed, wherever they are */
};
