/*
 * What cwsandbox-archive tells the daemon at its end, as one struct on descriptor CWSA_OUTCOME.
 * Nothing, or a part of it, means that it was killed.
 *
 *   cwsandbox-archive save PARENT USER PATIENCE LIMIT TEMPORARY NAME
 *   cwsandbox-archive restore PARENT USER
 *
 * PARENT is the daemon's process id, USER the sandbox's user on the host (0: whoever starts the
 * program). Descriptor CWSA_VOLUME is the root directory of the volume, CWSA_FILE the archive.
 * `save` gives up when reading the volume has taken PATIENCE milliseconds while less than CWSA_STEP
 * bytes were added to the archive. It writes at most LIMIT bytes to the archive, and then renames
 * it from TEMPORARY to NAME in the directory CWSA_FOLDER; its outcome is sent once both are on the
 * disk.
 */
#pragma once

#include <stdint.h>

#define CWSA_VOLUME  0
#define CWSA_FILE    1
#define CWSA_OUTCOME 3
#define CWSA_FOLDER  4

/* The least progress that an archive has to make. */
#define CWSA_STEP (1 << 20)

#define CWSA_DIGEST_SIZE 32 /* SHA-256 */

struct cwsa_outcome {
    uint32_t failed;                  /* 0: it is done */
    int32_t error;                    /* an errno; 0: none */
    uint64_t size;                    /* of the archive, as far as it was read or written */
    uint8_t digest[CWSA_DIGEST_SIZE]; /* of these bytes */
    char text[168];                   /* why it failed; always terminated */
};
