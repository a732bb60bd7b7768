#include "base/pages.h"

#include <sys/mman.h>

#include "base/alloc.h"

enum { PAGE = 4096, HUGE_FROM = 2 * 1024 * 1024 };

size_t cws_pages_round(size_t size)
{
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

uint8_t *cws_pages_new(size_t size)
{
    /* Counted with the other allocations, and failing with them in tests. */
    if (!cws_alloc_count_pages())
        return NULL;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        cws_alloc_uncount_pages();
        return NULL;
    }
    /* One fault for 2 MiB instead of 512; only a wish. */
    if (size >= HUGE_FROM)
        madvise(pages, size, MADV_HUGEPAGE);
    return pages;
}

void cws_pages_free(uint8_t *pages, size_t size)
{
    munmap(pages, size);
    cws_alloc_uncount_pages();
}
