/* What one sandbox may take of its host. */
#pragma once

#include <stdint.h>

struct cwsd_limits {
    uint64_t processes;     /* at a time, each thread counting as one */
    uint64_t open_files;    /* of each process */
    uint64_t written_bytes; /* of all files that it has made or changed, wherever they are */
};
