/* Memory for large data, straight from the system and straight back to it when freed. Any
 * thread. */
#pragma once

#include "base/base.h"

enum { CWS_PAGE = 4096 };

/* `size` up to whole pages. */
size_t cws_pages_round(size_t size);

/* `size` bytes of zeros, a multiple of the page size; from 2 MiB on made ready as by
 * cws_pages_prepare. NULL when out of memory. */
uint8_t *cws_pages_new(size_t size);
void cws_pages_free(uint8_t *pages, size_t size);

/* Memory that is about to be written from end to end for the first time: gets its pages from the
 * system at once instead of by a fault for each, in huge pages where they are to be had and cheap.
 * Only an advice: without effect on what the memory holds, and on the parts of the first and the
 * last page that lie outside. For private anonymous memory, as malloc gives it for large sizes. */
void cws_pages_prepare(void *memory, size_t size);

enum cws_pages_given {
    CWS_PAGES_GIVEN,
    CWS_PAGES_KEPT, /* the system does not do that: `pages` are as before, `to` is undefined */
    CWS_PAGES_LOST, /* `pages` are as before, but there is no memory at `to` any more */
};

/* Makes `len` bytes from pages + at on those at `to`, without copying them, and frees the rest of
 * `pages`, which are `size` bytes of cws_pages_new. All of it in whole pages; `to` is private
 * anonymous memory, which may lie inside a block of any allocator's.
 *
 * Of memory that is lost no byte may be touched again, nor the block around it be freed: the place
 * may be somebody else's by now. The kernel gets into that only without memory for its own tables,
 * between taking away what was at `to` and putting the pages there. */
enum cws_pages_given cws_pages_give(uint8_t *pages, size_t size, size_t at, size_t len,
                                    uint8_t *to) CWS_MUST_CHECK;
