/*
 * A block is a run of bytes to be sent. Whoever holds the pointer owns it, and passes it on whole.
 *
 * Blocks carry gRPC messages from the thread that made them down to the connection without another
 * copy. The last owner calls cws_block_settle. That calls `settled` with CWS_OK if the bytes were
 * handed to the connection, or with another status if they were dropped. `settled` takes the block
 * over; without one, the block is freed.
 *
 * The last bytes of a block may lie in memory of somebody else, the tail. They are sent from there,
 * so that large data is not copied into a block. The tail must not change until the block is
 * settled.
 */
#pragma once

#include "base/list.h"
#include "base/status.h"

struct cws_block {
    struct cws_list node;                                          /* in the queue of its owner */
    void (*settled)(struct cws_block *block, enum cws_status how); /* NULL: free the block */
    void *owner;                                                   /* for `settled` */
    size_t len;                                                    /* bytes in `data` */
    const uint8_t *tail; /* the bytes that follow those; borrowed */
    size_t tail_len;
    size_t off; /* bytes already taken from the front */
    uint8_t data[];
};

/* A block with room for `len` bytes and no tail. NULL when out of memory. */
struct cws_block *cws_block_new(size_t len);
/* The same in memory from cws_malloc of sizeof(struct cws_block) + len bytes. */
void cws_block_init(struct cws_block *block, size_t len);
/* How many bytes it has in all. */
static inline size_t cws_block_size(const struct cws_block *block)
{
    return block->len + block->tail_len;
}
/* Takes up to `room` bytes from the front of what has not been taken yet, and copies them to `to`.
 * Returns how many. */
size_t cws_block_take(struct cws_block *block, uint8_t *to, size_t room);
/* Ends the block's journey; see above. Loop thread, or the thread of a sole owner. */
void cws_block_settle(struct cws_block *block, enum cws_status how);
