/*
 * A block is a run of bytes to be sent. Whoever holds the pointer owns it, and passes it on whole.
 *
 * Blocks carry gRPC messages from the thread that made them down to the connection without another
 * copy. The last owner calls cws_block_settle. That calls `settled` with CWS_OK if the bytes were
 * handed to the connection, or with another status if they were dropped. `settled` takes the block
 * over; without one, the block is freed.
 */
#pragma once

#include "base/list.h"
#include "base/status.h"

struct cws_block {
    struct cws_list node;                                          /* in the queue of its owner */
    void (*settled)(struct cws_block *block, enum cws_status how); /* NULL: free the block */
    void *owner;                                                   /* for `settled` */
    size_t len;
    size_t off; /* bytes already taken from the front */
    uint8_t data[];
};

/* A block with room for `len` bytes. NULL when out of memory. */
struct cws_block *cws_block_new(size_t len);
/* Ends the block's journey; see above. Loop thread, or the thread of a sole owner. */
void cws_block_settle(struct cws_block *block, enum cws_status how);
