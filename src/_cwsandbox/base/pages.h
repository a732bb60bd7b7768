/* Memory for large data. It comes directly from the system, and goes back there when freed. Any
 * thread. */
#pragma once

#include "base/base.h"

enum { CWS_PAGE = 4096 };

/* `size` rounded up to whole pages. */
size_t cws_pages_round(size_t size);

/* `size` bytes of zeros; `size` is a multiple of the page size. From 2 MiB on, prepared as by
 * cws_pages_prepare. NULL when out of memory. */
uint8_t *cws_pages_new(size_t size);
void cws_pages_free(uint8_t *pages, size_t size);

/* For memory that is about to be written completely for the first time. Populates its pages at
 * once, instead of with one page fault each, and with huge pages where these are available and
 * cheap. This is only advice: it changes neither the memory's content nor the parts of the first
 * and last page outside it. For private anonymous memory, such as malloc's for large sizes. */
void cws_pages_prepare(void *memory, size_t size);

enum cws_pages_given {
    CWS_PAGES_GIVEN,
    CWS_PAGES_KEPT, /* the system cannot do it: `pages` is unchanged, the content of `to` is
                       undefined */
    CWS_PAGES_LOST, /* `pages` is unchanged, but there is no memory at `to` any more */
};

/* Moves the `len` bytes at pages + at to the address `to`, without copying them, and frees the rest
 * of `pages`, which is `size` bytes from cws_pages_new. All sizes and addresses are multiples of
 * the page size. `to` is private anonymous memory, and may lie inside a block of any allocator.
 *
 * Memory that is lost must not be touched again, and the block around it must not be freed: its
 * addresses may be in use for something else by now. This happens only if the kernel runs out of
 * memory for its own tables after it has unmapped `to` and before it has mapped the pages there. */
enum cws_pages_given cws_pages_give(uint8_t *pages, size_t size, size_t at, size_t len,
                                    uint8_t *to) CWS_MUST_CHECK;
