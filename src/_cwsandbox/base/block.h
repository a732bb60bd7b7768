/*
 * A block: one run of bytes on its way out, owned by whoever holds the pointer and handed on whole.
 *
 * Blocks carry gRPC messages from the thread that made them down to the connection without another
 * copy. Whoever ends a block's way calls cws_block_settle: `settled` then learns whether the bytes
 * were handed to the connection (CWS_OK) or dropped (any other status) and takes the block back
 * (the default frees it).
 */
#pragma once

#include "base/list.h"
#include "base/status.h"

struct cws_block {
    struct cws_list node;                                          /* for the queue it is in */
    void (*settled)(struct cws_block *block, enum cws_status how); /* NULL: free the block */
    void *owner;                                                   /* for `settled` */
    size_t len;
    size_t off; /* bytes already taken from the front */
    uint8_t data[];
};

/* NULL when out of memory. */
struct cws_block *cws_block_new(size_t len);
/* Ends the block's way; see above. Loop thread, or the sole owner's thread. */
void cws_block_settle(struct cws_block *block, enum cws_status how);
