#include "base/block.h"

#include "base/alloc.h"

struct cws_block *cws_block_new(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct cws_block))
        return NULL;
    struct cws_block *block = cws_malloc(sizeof(*block) + len);
    if (!block)
        return NULL;
    cws_list_init(&block->node);
    block->settled = NULL;
    block->owner = NULL;
    block->len = len;
    block->off = 0;
    return block;
}

void cws_block_settle(struct cws_block *block, enum cws_status how)
{
    if (block->settled)
        block->settled(block, how);
    else
        cws_free(block);
}
