#include "base/block.h"

#include <string.h>

#include "base/alloc.h"

struct cws_block *cws_block_new(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct cws_block))
        return NULL;
    struct cws_block *block = cws_malloc(sizeof(*block) + len);
    if (!block)
        return NULL;
    cws_block_init(block, len);
    return block;
}

void cws_block_init(struct cws_block *block, size_t len)
{
    cws_list_init(&block->node);
    block->settled = NULL;
    block->owner = NULL;
    block->len = len;
    block->tail = NULL;
    block->tail_len = 0;
    block->off = 0;
}

/* At most `room` bytes from one of the two parts, of which `off` bytes were taken. */
static size_t take_part(const uint8_t *part, size_t len, size_t off, uint8_t *to, size_t room)
{
    size_t n = len - off < room ? len - off : room;
    if (n)
        memcpy(to, part + off, n);
    return n;
}

size_t cws_block_take(struct cws_block *block, uint8_t *to, size_t room)
{
    size_t taken = 0;
    if (block->off < block->len)
        taken = take_part(block->data, block->len, block->off, to, room);
    block->off += taken;
    if (block->off < block->len || block->tail_len == 0)
        return taken;
    size_t n =
        take_part(block->tail, block->tail_len, block->off - block->len, to + taken, room - taken);
    block->off += n;
    return taken + n;
}

void cws_block_settle(struct cws_block *block, enum cws_status how)
{
    if (block->settled)
        block->settled(block, how);
    else
        cws_free(block);
}
